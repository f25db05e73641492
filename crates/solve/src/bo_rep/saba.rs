//! SOBA with a memory of past derivatives (SABA).

use lisse_array::Stream;

use crate::bilevel::baselines::{Decay, Solver, State, refuse_constraints};
use crate::bilevel::vector::{axpy, sub};
use crate::bilevel::{Batch, BilevelError, Oracle, Rows, Samples, Wrt};

/// SABA (Dagreou, Ablin, Vaiter, Moreau 2022): the three steps of SOBA with directions of small variance. The examples of each level
/// are cut into blocks; the last derivatives of each block are kept, and a step on block `i` of `n` uses
/// `n w_i (new_i - kept_i) + sum_j w_j kept_j` (SAGA), `w_j` the block's share of the examples.
///
/// Memory of the state: five directions' sums, then three vectors for each lower block, two for each upper one. With one block
/// each it is SOBA. Batches come from its own stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saba {
    /// Step size of `y`.
    pub gamma: Decay,
    /// Step size of `z`.
    pub nu: Decay,
    /// Step size of `x`.
    pub eta: Decay,
    /// Examples in a block, of both levels.
    pub block: usize,
    /// Chooses the blocks.
    pub stream: Stream,
}

/// `dg/dy`, `H z` and the mixed product; `df/dy` and `df/dx`.
const LOWER: usize = 3;
const UPPER: usize = 2;
const KEPT: usize = LOWER + UPPER;

/// The blocks of a level.
#[derive(Clone, Copy)]
struct Blocks {
    examples: usize,
    size: usize,
}

impl Blocks {
    fn count(self) -> usize {
        self.examples.div_ceil(self.size).max(1)
    }
    fn batch(self, i: usize) -> Batch {
        if self.examples == 0 {
            return Batch::all();
        }
        let start = i * self.size;
        let rows = Rows::Block(start..(start + self.size).min(self.examples));
        Batch { rows, ..Batch::all() }
    }
    fn share(self, i: usize) -> f64 {
        match self.batch(i).rows {
            Rows::Block(rows) => rows.len() as f64 / self.examples as f64,
            _ => 1.0,
        }
    }
}

impl Saba {
    fn blocks(&self, oracle: &Oracle<'_>) -> (Blocks, Blocks) {
        let (upper, lower) = oracle.problem().examples();
        let blocks = |examples| Blocks { examples, size: self.block };
        (blocks(upper), blocks(lower))
    }

    /// Derivatives of a block at the state's point.
    fn lower(state: &State, oracle: &mut Oracle<'_>, batch: &Batch) -> [Vec<f64>; LOWER] {
        let all = oracle.lower_products(&state.x, &state.y, &state.z, batch);
        [all.gradient, all.hessian, all.cross]
    }

    fn upper(state: &State, oracle: &mut Oracle<'_>, batch: &Batch) -> [Vec<f64>; UPPER] {
        let both = oracle.upper(&state.x, &state.y, batch, Wrt::Both);
        [both.y, both.x]
    }

    /// Fills the memory at the start, one pass over all blocks.
    fn fill(&self, state: &mut State, oracle: &mut Oracle<'_>) {
        let (upper, lower) = self.blocks(oracle);
        let (dx, dy) = (state.x.len(), state.y.len());
        let mut memory = [dy, dy, dx, dy, dx].map(|n| vec![0.0; n]).to_vec();
        for i in 0..lower.count() {
            let new = Saba::lower(state, oracle, &lower.batch(i));
            for (sum, new) in memory.iter_mut().zip(&new) {
                axpy(sum, lower.share(i), new);
            }
            memory.extend(new);
        }
        for i in 0..upper.count() {
            let new = Saba::upper(state, oracle, &upper.batch(i));
            for (sum, new) in memory[LOWER..].iter_mut().zip(&new) {
                axpy(sum, upper.share(i), new);
            }
            memory.extend(new);
        }
        state.memory = memory;
    }
}

/// The SAGA direction; the new derivative takes the kept one's place.
fn reduce(
    memory: &mut [Vec<f64>],
    sum: usize,
    kept: usize,
    new: Vec<f64>,
    share: f64,
    blocks: usize,
) -> Vec<f64> {
    let change = sub(&new, &memory[kept]);
    let mut direction = memory[sum].clone();
    axpy(&mut direction, share * blocks as f64, &change);
    axpy(&mut memory[sum], share, &change);
    memory[kept] = new;
    direction
}

impl Solver for Saba {
    fn name(&self) -> &'static str {
        "SABA"
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        refuse_constraints("SABA", oracle, true)?;
        if self.block == 0 {
            let (what, expected) = ("the size of a block", "at least 1");
            return Err(BilevelError::Number { what, value: 0.0, expected });
        }
        oracle.check(x, y)?;
        Ok(State::new(x.to_vec(), y.to_vec()))
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        _: &Samples,
    ) -> Result<(), BilevelError> {
        if state.memory.is_empty() {
            self.fill(state, oracle);
        }
        let (k, (upper, lower)) = (state.step, self.blocks(oracle));
        let draw = self.stream.at(k);
        let i = draw.below_at(0, lower.count() as u64) as usize;
        let j = draw.below_at(1, upper.count() as u64) as usize;
        let news = Saba::lower(state, oracle, &lower.batch(i)).into_iter().enumerate();
        let mut directions: Vec<Vec<f64>> = Vec::with_capacity(KEPT);
        for (part, new) in news {
            let kept = KEPT + i * LOWER + part;
            let (share, count) = (lower.share(i), lower.count());
            directions.push(reduce(&mut state.memory, part, kept, new, share, count));
        }
        let news = Saba::upper(state, oracle, &upper.batch(j)).into_iter().enumerate();
        for (part, new) in news {
            let kept = KEPT + lower.count() * LOWER + j * UPPER + part;
            let (share, count) = (upper.share(j), upper.count());
            directions.push(reduce(&mut state.memory, LOWER + part, kept, new, share, count));
        }
        let nu = self.nu.at(k);
        axpy(&mut state.y, -self.gamma.at(k), &directions[0]);
        axpy(&mut state.z, -nu, &directions[1]);
        axpy(&mut state.z, nu, &directions[3]);
        state.direction = sub(&directions[4], &directions[2]);
        axpy(&mut state.x, -self.eta.at(k), &state.direction);
        oracle.project_x(&mut state.x);
        state.step += 1;
        state.check_finite()
    }
}
