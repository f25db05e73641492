//! Routing tokens to experts.

use lisse_array::{Array, DType};
use serde::{Deserialize, Serialize};

use super::{Axis, Problem, Sinkhorn, Solver, SparseOt, SparsePlan, TransportError};

/// Who chooses, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RouterRule {
    /// Every token goes to its experts with the largest gates, while they have room
    TopK {
        /// Experts of a token.
        experts: usize,
    },
    /// Transport with at most `capacity` tokens for every expert; each takes those with most mass
    TokensPerExpert,
    /// Transport with at most so many experts for every token, which goes to them while they have room
    ExpertsPerToken {
        /// Experts of a token.
        experts: usize,
    },
    /// Quadratic transport without a bound on entries; experts take the tokens with most mass
    Quadratic,
    /// Entropic transport on the logits of the gates (S-BASE); every token goes to its expert with most mass
    Sinkhorn {
        /// Strength of the entropy.
        epsilon: f64,
        /// Iterations.
        iterations: usize,
    },
}

/// A router for a mixture of experts: balanced load and a bound on tokens per expert or experts per token, without auxiliary losses.
///
/// Transport with costs `-gates`, mass 1 at every token, `S / E` at every expert, strength 1. Only the gates that weigh the experts' results are differentiated, not the
/// choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Router {
    /// Who chooses.
    pub rule: RouterRule,
    /// Room of an expert, in units of its share `S / E` of the tokens (times experts per token).
    pub capacity_factor: f64,
    /// The capacity is rounded up to a multiple of this; 1 for no rounding.
    pub multiple: usize,
    /// Steps of Adam; its best iterate is used.
    pub iterations: usize,
    /// Step size of Adam.
    pub rate: f64,
}

impl Router {
    /// With capacity factor 1, rounded to multiples of 4, and 20 steps of Adam at 0.01.
    pub fn new(rule: RouterRule) -> Router {
        Router { rule, capacity_factor: 1.0, multiple: 4, iterations: 20, rate: 1e-2 }
    }
}

/// Which expert gets which tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    tokens: usize,
    capacity: usize,
    /// Tokens of each expert, ascending.
    experts: Vec<Vec<u32>>,
    /// Tokens that wanted each expert, before capacity.
    demand: Vec<usize>,
}

/// A dispatch and the plan behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// Who gets what.
    pub dispatch: Dispatch,
    /// Tokens to experts, where transport was used and the plan is sparse.
    pub plan: Option<SparsePlan>,
}

impl Router {
    /// Room of an expert for `tokens` tokens.
    pub fn capacity(&self, tokens: usize, experts: usize) -> usize {
        let each = match self.rule {
            RouterRule::TopK { experts } | RouterRule::ExpertsPerToken { experts } => experts,
            _ => 1,
        };
        let wanted =
            (tokens as f64 * each as f64 * self.capacity_factor / experts as f64).ceil() as usize;
        wanted.next_multiple_of(self.multiple.max(1)).min(tokens)
    }

    /// Checks the options for a number of experts.
    ///
    /// # Errors
    /// A capacity factor or rate that is not positive, a multiple of 0, more experts per token than there are.
    pub fn check(&self, experts: usize) -> Result<(), TransportError> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        if !positive(self.capacity_factor) {
            let expected = "a finite number above 0";
            return Err(TransportError::option("capacity_factor", self.capacity_factor, expected));
        }
        if self.multiple == 0 {
            return Err(TransportError::option("multiple", 0, "at least 1"));
        }
        if !positive(self.rate) {
            return Err(TransportError::option("rate", self.rate, "a finite number above 0"));
        }
        match self.rule {
            RouterRule::TopK { experts: k } | RouterRule::ExpertsPerToken { experts: k }
                if k == 0 || k > experts =>
            {
                Err(TransportError::option(
                    "experts",
                    k,
                    format!("1 to {experts}, the number of experts"),
                ))
            }
            RouterRule::Sinkhorn { epsilon, .. } if !positive(epsilon) => {
                Err(TransportError::option("epsilon", epsilon, "a finite number above 0"))
            }
            _ => Ok(()),
        }
    }

    /// Routes by gates `[tokens, experts]`, the softmax of a linear map of the tokens.
    ///
    /// # Errors
    /// As [`check`](Self::check); gates that are not finite (for Sinkhorn: not positive). Panics if `gates` is no matrix.
    ///
    /// ```
    /// use lisse_array::{DType, Stream};
    /// use lisse_solve::transport::{Router, RouterRule};
    /// let gates = Stream::new(0).normal(&[64, 8], DType::F64).softmax(1);
    /// let routed = Router::new(RouterRule::TokensPerExpert).route(&gates)?;
    /// assert!(routed.dispatch.loads().iter().all(|&load| load <= 8));
    /// # Ok::<(), lisse_solve::transport::TransportError>(())
    /// ```
    #[track_caller]
    pub fn route(&self, gates: &Array) -> Result<Routed, TransportError> {
        assert!(
            gates.rank() == 2,
            "Router: gates {:?} are no matrix [tokens, experts]",
            gates.shape()
        );
        let (s, e) = (gates.dim(0), gates.dim(1));
        self.check(e)?;
        let values = gates.to_f64_vec();
        let capacity = self.capacity(s, e);
        if let RouterRule::TopK { experts } = self.rule {
            if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                return Err(TransportError::Cost {
                    row: at / e,
                    column: at % e,
                    value: values[at],
                });
            }
            let dispatch = Dispatch::by_token(&values, s, e, experts, capacity);
            return Ok(Routed { dispatch, plan: None });
        }
        let (tokens, each) = (vec![1.0; s], vec![s as f64 / e as f64; e]);
        if let RouterRule::Sinkhorn { epsilon, iterations } = self.rule {
            let costs: Vec<f64> = values.iter().map(|g| -g.ln()).collect();
            let sinkhorn = Sinkhorn { epsilon, tolerance: 0.0, max_iterations: iterations };
            let found = sinkhorn.solve(&Problem::new(&tokens, &each, &costs)?)?;
            let dispatch = Dispatch::by_token(&found.plan, s, e, 1, capacity);
            return Ok(Routed { dispatch, plan: None });
        }
        let costs: Vec<f64> = values.iter().map(|g| -g).collect();
        let problem = Problem::new(&tokens, &each, &costs)?;
        let (k, axis) = match self.rule {
            RouterRule::TokensPerExpert => (Some(capacity), Axis::Column),
            RouterRule::ExpertsPerToken { experts } => (Some(experts), Axis::Row),
            _ => (None, Axis::Column),
        };
        let ot = SparseOt {
            k,
            axis,
            solver: Solver::Adam { rate: self.rate },
            max_iterations: self.iterations,
            tolerance: 0.0,
            ..SparseOt::default()
        };
        let plan = ot.solve(&problem)?.plan;
        let dispatch = match self.rule {
            RouterRule::ExpertsPerToken { experts } => {
                Dispatch::by_token(&plan.to_dense(), s, e, experts, capacity)
            }
            _ => Dispatch::by_expert(&plan, capacity),
        };
        Ok(Routed { dispatch, plan: Some(plan) })
    }
}

impl Dispatch {
    /// Every token asks its `k` experts of largest positive weight (of equal ones the first): all first choices in the order of tokens, then the second ones.
    fn by_token(
        weights: &[f64],
        tokens: usize,
        experts: usize,
        k: usize,
        capacity: usize,
    ) -> Dispatch {
        let choices: Vec<Vec<usize>> = weights
            .chunks(experts)
            .map(|row| {
                let mut order: Vec<usize> = (0..experts).filter(|&e| row[e] > 0.0).collect();
                order.sort_by(|&x, &y| row[y].total_cmp(&row[x]));
                order.truncate(k);
                order
            })
            .collect();
        let mut dispatch = Dispatch {
            tokens,
            capacity,
            experts: vec![Vec::new(); experts],
            demand: vec![0; experts],
        };
        for rank in 0..k {
            for (token, choice) in choices.iter().enumerate() {
                let Some(&expert) = choice.get(rank) else { continue };
                dispatch.demand[expert] += 1;
                if dispatch.experts[expert].len() < capacity {
                    dispatch.experts[expert].push(token as u32);
                }
            }
        }
        for list in &mut dispatch.experts {
            list.sort_unstable();
        }
        dispatch
    }

    /// Every expert takes its `capacity` tokens with most mass.
    fn by_expert(plan: &SparsePlan, capacity: usize) -> Dispatch {
        let take = |expert: usize| {
            let mut column: Vec<(usize, f64)> = plan.column(expert).collect();
            let demand = column.len();
            column.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
            column.truncate(capacity);
            let mut tokens: Vec<u32> = column.into_iter().map(|(token, _)| token as u32).collect();
            tokens.sort_unstable();
            (tokens, demand)
        };
        let (experts, demand) = (0..plan.targets()).map(take).unzip();
        Dispatch { tokens: plan.sources(), capacity, experts, demand }
    }

    /// Tokens of an expert, ascending.
    pub fn tokens_of(&self, expert: usize) -> &[u32] {
        &self.experts[expert]
    }

    /// Number of tokens that each expert gets.
    pub fn loads(&self) -> Vec<usize> {
        self.experts.iter().map(Vec::len).collect()
    }

    /// Number of tokens that wanted each expert, whether or not it had room.
    pub fn demand(&self) -> &[usize] {
        &self.demand
    }

    /// Number of experts that each token gets.
    pub fn experts_per_token(&self) -> Vec<usize> {
        let mut counts = vec![0; self.tokens];
        for &token in self.experts.iter().flatten() {
            counts[token as usize] += 1;
        }
        counts
    }

    /// Share of the tokens that at least one expert takes.
    pub fn served(&self) -> f64 {
        let served = self.experts_per_token().into_iter().filter(|c| *c > 0).count();
        served as f64 / self.tokens.max(1) as f64
    }

    /// Largest over mean demand: 1 is balanced.
    pub fn imbalance(&self) -> f64 {
        let most = self.demand.iter().copied().max().unwrap_or(0) as f64;
        let mean = self.demand.iter().sum::<usize>() as f64 / self.demand.len().max(1) as f64;
        if mean > 0.0 { most / mean } else { f64::NAN }
    }

    /// `sum_e gate_e(x) expert_e(x)` for every token, `[tokens, width]`: each expert gets its tokens as rows. Differentiable in tokens, gates and experts.
    ///
    /// Tokens that no expert takes come out as 0.
    #[track_caller]
    pub fn apply(
        &self,
        tokens: &Array,
        gates: &Array,
        expert: impl Fn(usize, &Array) -> Array,
    ) -> Array {
        assert!(
            tokens.rank() == 2
                && tokens.dim(0) == self.tokens
                && gates.shape() == [self.tokens, self.experts.len()],
            "Dispatch::apply: tokens {:?} and gates {:?} for a dispatch of {} tokens to {} experts",
            tokens.shape(),
            gates.shape(),
            self.tokens,
            self.experts.len()
        );
        let mut sum: Option<Array> = None;
        for (e, list) in self.experts.iter().enumerate().filter(|(_, list)| !list.is_empty()) {
            let at: Vec<i64> = list.iter().map(|&t| i64::from(t)).collect();
            let at = Array::from_vec(at, &[list.len()]);
            let result = expert(e, &tokens.index_select(0, &at));
            let weighted = result * gates.narrow(1, e, 1).index_select(0, &at);
            let into = sum
                .unwrap_or_else(|| Array::zeros(&[self.tokens, weighted.dim(1)], weighted.dtype()));
            sum = Some(into.index_add(0, &at, &weighted));
        }
        sum.unwrap_or_else(|| tokens.zeros_like())
    }

    /// The dispatch as ones in `[tokens, experts, capacity]`, for `einsum`.
    pub fn one_hot(&self, dtype: DType) -> Array {
        let (e, c) = (self.experts.len(), self.capacity);
        let mut ones = vec![0.0; self.tokens * e * c];
        for (expert, list) in self.experts.iter().enumerate() {
            for (slot, &token) in list.iter().enumerate() {
                ones[(token as usize * e + expert) * c + slot] = 1.0;
            }
        }
        Array::from_vec(ones, &[self.tokens, e, c]).cast(dtype)
    }
}

/// The square of the coefficient of variation of the experts' summed gates `[tokens, experts]`: an auxiliary loss that asks for balance (Shazeer et al., 2017).
pub fn importance_loss(gates: &Array) -> Array {
    let importance = gates.sum(&[0]);
    let mean = importance.mean_all();
    importance.var(&[0], 0.0) / mean.square()
}

/// `E sum_e f_e p_e` with the share `f_e` of tokens that want expert `e` and its mean gate `p_e`: 1 where balanced (Fedus, Zoph and Shazeer, 2022).
pub fn load_loss(gates: &Array, dispatch: &Dispatch) -> Array {
    let total: usize = dispatch.demand.iter().sum();
    let shares = dispatch.demand.iter().map(|&d| d as f64 / total.max(1) as f64).collect();
    let shares = Array::from_vec(shares, &[dispatch.demand.len()]).cast(gates.dtype());
    (gates.mean(&[0]) * shares).sum_all() * dispatch.demand.len() as f64
}
