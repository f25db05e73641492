//! Processes that work on one run together.
//!
//! Everything goes through one primitive, a personalised exchange of bytes, so that a run alone, threads in a test and OpenMPI
//! behave the same. Sums are taken in the order of the ranks on whichever rank adds them, so all ranks hold the same bits and the
//! same number of ranks gives the same bits again.

#[cfg(feature = "mpi")]
mod mpi;
mod threads;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use lisse_array::{Array, DType, Tree};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// How ranks reach each other.
pub(crate) trait Wire: Send + Sync {
    fn rank(&self) -> usize;
    fn size(&self) -> usize;
    /// Sends `parts[r]` to each rank r (itself too) and returns what each rank sent here, in order. All ranks must call this.
    fn exchange(&self, parts: Vec<Vec<u8>>) -> Vec<Vec<u8>>;
    /// Ends all ranks at once.
    fn abort(&self, code: i32) -> !;
}

/// The ranks of a run: this process alone, or several under `mpirun` (feature `mpi`).
///
/// Methods other than [`rank`](Ranks::rank) and [`size`](Ranks::size) are collective: all ranks must call them, in the same order.
#[derive(Clone)]
pub struct Ranks(Option<Arc<dyn Wire>>);

impl Ranks {
    /// This process alone.
    pub fn alone() -> Ranks {
        Ranks(None)
    }

    /// The ranks under which this process was started. Without the feature `mpi`, being one of several is an error: they would all
    /// do the same work and write the same files.
    pub fn from_environment() -> Result<Ranks, Error> {
        let variables = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
        let size = variables.iter().find_map(|name| std::env::var(name).ok()?.parse::<usize>().ok()).unwrap_or(1);
        if size <= 1 {
            return Ok(Ranks::alone());
        }
        Ranks::connect(size)
    }

    #[cfg(feature = "mpi")]
    fn connect(_: usize) -> Result<Ranks, Error> {
        Ok(Ranks(Some(Arc::new(mpi::MpiWire::new()?))))
    }

    #[cfg(not(feature = "mpi"))]
    fn connect(size: usize) -> Result<Ranks, Error> {
        Err(Error::Ranks(format!("started as one of {size} processes, but this build cannot talk to the others; build with `--features mpi`")))
    }

    /// Runs `f` on `size` ranks that are threads of this process, and returns what each gave, in order. For tests.
    pub fn threads<T: Send>(size: usize, f: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
        threads::run(size, |wire| f(Ranks(Some(wire))))
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |wire| wire.rank())
    }

    /// Number of ranks.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |wire| wire.size())
    }

    /// This rank's part of the indices `0..n`: contiguous, sizes differ by at most one.
    pub fn share(&self, n: usize) -> Range<usize> {
        share(n, self.rank(), self.size())
    }

    /// `f(0), ..., f(n - 1)` in order on all ranks, each computed on one of them. The first failure is everyone's.
    pub fn map<T: Serialize + DeserializeOwned>(
        &self,
        n: usize,
        f: impl FnMut(usize) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let own: Result<Vec<T>, Error> = self.share(n).map(f).collect();
        if self.size() == 1 {
            return own;
        }
        let told = own.map_err(|error| error.to_string());
        let mut all = Vec::with_capacity(n);
        for (rank, part) in self.gather(&told)?.into_iter().enumerate() {
            all.extend(part.map_err(|problem| Error::Ranks(format!("rank {rank} failed: {problem}")))?);
        }
        Ok(all)
    }

    /// The value of every rank, in order, on all ranks.
    pub fn gather<T: Serialize + DeserializeOwned>(&self, value: &T) -> Result<Vec<T>, Error> {
        let bytes = to_bytes(value)?;
        match &self.0 {
            None => Ok(vec![from_bytes(&bytes)?]),
            Some(wire) => wire.exchange(vec![bytes; wire.size()]).iter().map(|bytes| from_bytes(bytes)).collect(),
        }
    }

    /// The first rank's value, on all ranks.
    pub fn broadcast<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<T, Error> {
        let Some(wire) = &self.0 else { return Ok(value) };
        let bytes = if wire.rank() == 0 { to_bytes(&value)? } else { Vec::new() };
        let received = wire.exchange(vec![bytes; wire.size()]);
        if wire.rank() == 0 { Ok(value) } else { from_bytes(&received[0]) }
    }

    /// The first rank's tree, on all ranks. All must have the same leaves, shapes and dtypes.
    pub fn broadcast_tree<T: Tree>(&self, tree: &T) -> Result<T, Error> {
        if self.size() == 1 {
            return Ok(tree.clone());
        }
        let names = tree.named_leaves().into_iter().map(|(name, leaf)| (name, leaf.clone())).collect();
        let bytes = if self.rank() == 0 { crate::arrays::encode(names, [].into())? } else { Vec::new() };
        let (arrays, _) = crate::arrays::decode(&self.broadcast(bytes)?).map_err(Error::Ranks)?;
        crate::arrays::fill(tree, &arrays)
    }

    /// Waits for all ranks.
    pub fn barrier(&self) {
        if let Some(wire) = &self.0 {
            wire.exchange(vec![Vec::new(); wire.size()]);
        }
    }

    /// Replaces each element by its sum over the ranks. Lengths must agree.
    pub fn all_reduce_sum<T: Summand>(&self, values: &mut [T]) {
        let Some(wire) = &self.0 else { return };
        let size = wire.size();
        let parts = (0..size).map(|r| bytemuck::cast_slice(&values[share(values.len(), r, size)]).to_vec()).collect();
        let received = wire.exchange(parts);
        let own = share(values.len(), wire.rank(), size).len();
        let mut sums = vec![0.0f64; own];
        for part in &received {
            let terms: Vec<T> = bytemuck::pod_collect_to_vec(part);
            assert_eq!(terms.len(), own, "all_reduce_sum: the ranks gave different lengths");
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term.to_f64());
        }
        let sums: Vec<T> = sums.into_iter().map(T::from_f64).collect();
        let gathered = wire.exchange(vec![bytemuck::cast_slice(&sums).to_vec(); size]);
        for (r, part) in gathered.iter().enumerate() {
            let part_of = share(values.len(), r, size);
            values[part_of].copy_from_slice(&bytemuck::pod_collect_to_vec::<u8, T>(part));
        }
    }

    /// The sum of a number over the ranks.
    pub fn sum(&self, value: f64) -> f64 {
        let mut values = [value];
        self.all_reduce_sum(&mut values);
        values[0]
    }

    /// The sum of a tree over the ranks, leaf by leaf: gradients, statistics. Leaves of integers and booleans stay as they are.
    pub fn all_reduce_tree<T: Tree>(&self, tree: &T) -> T {
        if self.size() == 1 {
            return tree.clone();
        }
        // Two messages for the whole tree instead of one for each leaf.
        let mut doubles = Vec::new();
        let mut singles = Vec::new();
        for leaf in tree.leaves() {
            match leaf.dtype() {
                DType::F64 => doubles.extend(leaf.to_vec::<f64>()),
                dtype if dtype.is_float() => singles.extend(leaf.cast(DType::F32).to_vec::<f32>()),
                _ => {}
            }
        }
        self.all_reduce_sum(&mut doubles);
        self.all_reduce_sum(&mut singles);
        let (mut doubles, mut singles) = (doubles.as_slice(), singles.as_slice());
        tree.map(|leaf| match leaf.dtype() {
            DType::F64 => take(&mut doubles, leaf),
            dtype if dtype.is_float() => take(&mut singles, leaf).cast(dtype),
            _ => leaf.clone(),
        })
    }

    /// Ends all ranks at once; for the command line when one rank fails while others wait for it.
    pub fn abort(&self, code: i32) -> ! {
        match &self.0 {
            None => std::process::exit(code),
            Some(wire) => wire.abort(code),
        }
    }

    /// Runs `f` on the first rank only; the others get `None`, or an error if it failed there.
    pub(crate) fn lead<T>(&self, f: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
        if self.size() == 1 {
            return f().map(Some);
        }
        let outcome = (self.rank() == 0).then(f).transpose();
        let problem = self.broadcast(outcome.as_ref().err().map(ToString::to_string))?;
        match (outcome, problem) {
            (Ok(None), Some(problem)) => Err(Error::Ranks(format!("the first rank failed: {problem}"))),
            (outcome, _) => outcome,
        }
    }
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.size())
    }
}

impl Default for Ranks {
    fn default() -> Ranks {
        Ranks::alone()
    }
}

/// What ranks can add up. Sums are taken in f64 and rounded once.
pub trait Summand: bytemuck::Pod {
    /// Exactly.
    fn to_f64(self) -> f64;
    /// The nearest.
    fn from_f64(value: f64) -> Self;
}

impl Summand for f64 {
    fn to_f64(self) -> f64 {
        self
    }
    fn from_f64(value: f64) -> f64 {
        value
    }
}

impl Summand for f32 {
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
}

fn share(n: usize, rank: usize, size: usize) -> Range<usize> {
    let (each, more) = (n / size, n % size);
    let start = rank * each + rank.min(more);
    start..start + each + usize::from(rank < more)
}

fn take<T: lisse_array::Element>(values: &mut &[T], leaf: &Array) -> Array {
    let (own, rest) = values.split_at(leaf.len());
    *values = rest;
    Array::from_slice(own, leaf.shape()).to_device(leaf.device())
}

fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    rmp_serde::to_vec_named(value).map_err(|error| Error::Ranks(format!("a value cannot be sent: {error}")))
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| Error::Ranks(format!("another rank sent something else than this one expected: {error}")))
}

#[cfg(test)]
mod tests;
