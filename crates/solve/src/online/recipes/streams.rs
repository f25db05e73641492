//! Streams from their configuration, shared by the arms.

use std::sync::{Arc, OnceLock};

use lisse_array::{Array, DType, Stream};
use lisse_data::{Dataset, Standardizer, Table};
use lisse_run::Error;

use super::config::{Config, HintConfig, StreamConfig};
use super::facts::{Facts, gather};
use crate::online::{DataStream, Drift, Environment, Link, OnlineError, Order, Rows, SeaStream};

/// A stream with all its seeds, and what is known of it in hindsight.
pub(super) struct Source {
    pub name: String,
    /// By seed.
    pub environments: Vec<Box<dyn Environment + Send>>,
    /// Rounds after which curves have a point, the horizons among them.
    pub marks: Vec<u64>,
    pub horizons: Vec<u64>,
    facts: OnceLock<Result<Vec<Facts>, OnlineError>>,
}

impl Source {
    /// What the stream was like, by seed; found once.
    pub fn facts(&self) -> Result<&[Facts], Error> {
        let found = self.facts.get_or_init(|| {
            let one = |e: &(dyn Environment + Send)| gather(e, &self.marks, &self.horizons);
            self.environments.iter().map(|e| one(&**e)).collect()
        });
        let named =
            |error: &OnlineError| Error::message(format!("stream `{}`: {error}", self.name));
        found.as_deref().map_err(named)
    }
}

/// What a source is made from.
#[derive(PartialEq)]
struct Key {
    name: String,
    stream: StreamConfig,
    rounds: u64,
    seeds: u64,
    horizons: u32,
}

/// The sources made so far.
pub(super) struct Shelf {
    seed: u64,
    sources: Vec<(Key, Arc<Source>)>,
}

impl Shelf {
    pub fn new(seed: u64) -> Shelf {
        Shelf { seed, sources: Vec::new() }
    }

    /// The sources of an arm, those of earlier arms again where nothing differs.
    pub fn sources(&mut self, config: &Config) -> Result<Vec<Arc<Source>>, Error> {
        config.played().map(|(name, stream)| self.source(name, stream, config)).collect()
    }

    fn source(
        &mut self,
        name: &str,
        stream: &StreamConfig,
        config: &Config,
    ) -> Result<Arc<Source>, Error> {
        let key = Key {
            name: name.into(),
            stream: stream.clone(),
            rounds: config.rounds,
            seeds: config.seeds,
            horizons: config.horizons,
        };
        if let Some((_, source)) = self.sources.iter().find(|(other, _)| *other == key) {
            return Ok(Arc::clone(source));
        }
        let random = Stream::new(self.seed).child("streams").child(name);
        let seeds = (0..config.seeds).map(|i| random.at(i).below(u64::MAX));
        let environments = stream.build(name, config.rounds, seeds)?;
        let horizons: Vec<u64> = (0..config.horizons).rev().map(|k| config.rounds >> k).collect();
        let source = Arc::new(Source {
            name: name.into(),
            environments,
            marks: marks(config.rounds, &horizons),
            horizons,
            facts: OnceLock::new(),
        });
        self.sources.push((key, Arc::clone(&source)));
        Ok(source)
    }
}

/// About forty even steps to `rounds`, and the horizons.
fn marks(rounds: u64, horizons: &[u64]) -> Vec<u64> {
    let step = rounds.div_ceil(40);
    let mut marks: Vec<u64> = (1..=rounds / step).map(|i| i * step).collect();
    marks.extend(horizons);
    marks.sort_unstable();
    marks.dedup();
    marks
}

type Examples = (Array, Array, Link, f64);

impl StreamConfig {
    /// Inputs, targets, link and penalty of a stream of examples.
    pub fn examples(&self, name: &str) -> Result<Option<Examples>, Error> {
        let named = |error: Error| Error::message(format!("stream `{name}`: {error}"));
        match self {
            StreamConfig::Data { data, components, loss, l2, .. } => {
                let set = Dataset::bundled(data).map_err(Error::other)?.cast(DType::F64);
                let (inputs, targets) = prepared(&set, *loss, true).map_err(named)?;
                let inputs = if *components > 0 {
                    principal(&inputs, *components).map_err(named)?
                } else {
                    inputs
                };
                Ok(Some((unit_scale(&inputs), targets, *loss, *l2)))
            }
            StreamConfig::File { path, target, loss, l2, standardize, .. } => {
                let table = Table::from_csv(path).map_err(Error::other)?;
                let set = if loss.is_margin() {
                    Dataset::classification(&table, target)
                } else {
                    Dataset::regression(&table, target)
                };
                let set = set.map_err(Error::other)?.cast(DType::F64);
                let (inputs, targets) = prepared(&set, *loss, *standardize).map_err(named)?;
                let inputs = if *standardize { unit_scale(&inputs) } else { inputs };
                Ok(Some((inputs, targets, *loss, *l2)))
            }
            StreamConfig::Sea { .. } => Ok(None),
        }
    }

    fn build(
        &self,
        name: &str,
        rounds: u64,
        seeds: impl Iterator<Item = u64>,
    ) -> Result<Vec<Box<dyn Environment + Send>>, Error> {
        let named = |error: OnlineError| Error::message(format!("stream `{name}`: {error}"));
        let rows = match self.examples(name)? {
            Some((inputs, targets, ..)) => {
                Some(Arc::new(Rows::new(&inputs, &targets).map_err(named)?))
            }
            None => None,
        };
        let one = |seed: u64| -> Result<Box<dyn Environment + Send>, OnlineError> {
            let data = |domain, link, batch, order, drift, l2| {
                let rows = rows.clone().ok_or(OnlineError::NoProx)?;
                DataStream::new(rows, domain, link, batch, order, drift, l2, rounds, seed)
            };
            Ok(match self.clone() {
                StreamConfig::Data { loss, batch, order, drift, l2, domain, .. } => {
                    Box::new(data(domain, loss, batch, order, drift, l2)?)
                }
                StreamConfig::File { loss, batch, l2, domain, .. } => {
                    Box::new(data(domain, loss, batch, Order::Sequential, Drift::None, l2)?)
                }
                StreamConfig::Sea { dim, cost, mean, scale, noise, domain } => {
                    Box::new(SeaStream::new(domain, dim, cost, mean, scale, noise, seed)?)
                }
            })
        };
        seeds.map(|seed| one(seed).map_err(named)).collect()
    }
}

/// Standardised inputs `[n, d]` and targets: signs for margin losses, else standardised numbers.
fn prepared(set: &Dataset, link: Link, standardize: bool) -> Result<(Array, Array), Error> {
    let scaled = |values: &Array| -> Result<Array, Error> {
        let scale = Standardizer::fit(values).map_err(Error::other)?;
        scale.apply(values).map_err(Error::other)
    };
    let inputs = set.inputs.reshape(&[set.len() as isize, -1]);
    let inputs = if standardize { scaled(&inputs)? } else { inputs };
    let targets = set.targets.cast(DType::F64);
    if link.is_margin() {
        if set.classes() != Some(2) {
            let text = format!("`{}` has not two classes, which this loss needs", set.name);
            return Err(Error::message(text));
        }
        return Ok((inputs, targets * 2.0 - 1.0));
    }
    let targets =
        if standardize { scaled(&targets.reshape(&[-1, 1]))?.reshape(&[-1]) } else { targets };
    Ok((inputs, targets))
}

/// The first principal components of centred inputs.
fn principal(inputs: &Array, components: usize) -> Result<Array, Error> {
    let d = inputs.dim(1);
    if components > d {
        let text = format!("components: at most the number of features, {d}, or 0 for all");
        return Err(Error::message(text));
    }
    let (_, vectors) = inputs.t().matmul(inputs).eigh().map_err(Error::other)?;
    // Eigenvalues ascend.
    let first = vectors.narrow(1, d - components, components).flip(&[1]);
    Ok(inputs.matmul(&first))
}

/// Divides by the largest norm of a row.
fn unit_scale(inputs: &Array) -> Array {
    let longest = inputs.square().sum(&[1]).max_all().item().sqrt();
    if longest > 0.0 { inputs * (1.0 / longest) } else { inputs.clone() }
}

/// Hints of a file, one for each round.
pub(super) fn hints(config: &HintConfig) -> Result<Option<Vec<Vec<f64>>>, Error> {
    let HintConfig::File { path } = config else { return Ok(None) };
    let table = Table::from_csv(path).map_err(Error::other)?;
    let names: Vec<String> = table.names().to_vec();
    let columns: Vec<Vec<f64>> = names
        .iter()
        .map(|name| table.numbers(name).map_err(Error::other))
        .collect::<Result<_, _>>()?;
    let row = |t: usize| columns.iter().map(|column| column[t]).collect();
    Ok(Some((0..table.rows()).map(row).collect()))
}

/// The mean loss of all rows at `x`, differentiable.
pub(crate) fn array_loss(inputs: &Array, targets: &Array, link: Link, l2: f64, x: &Array) -> Array {
    let z = inputs.matmul(&x.unsqueeze(1)).squeeze(-1);
    let losses = match link {
        Link::Logistic => softplus(&-(targets * &z)),
        Link::Squared => (z - targets).square() * 0.5,
        Link::Absolute => (z - targets).abs(),
        Link::Hinge => (1.0 - targets * &z).relu(),
    };
    losses.mean_all() + x.square().sum_all() * (0.5 * l2)
}

/// `ln(1 + e^z)`
fn softplus(z: &Array) -> Array {
    z.relu() + (-z.abs()).exp().log1p()
}
