//! Few-shot classification of sentences: a representation learned on the upper level, a head on the lower one.

use std::sync::Arc;

use lisse_array::{Array, Stream, Tree, grad};
use lisse_nn::losses::cross_entropy;
use lisse_optim::Flat;
use rayon::prelude::*;

use super::GaussNewton;
use super::network::{Encoder, Head, accuracy, loss};
use super::text::{Domain, Episode, TextError, WordVectors};
use crate::bilevel::baselines::{Solver, State};
use crate::bilevel::vector::axpy;
use crate::bilevel::{Batch, BilevelError, Closures, Oracle, Purpose, Sampler, Samples};

/// Episodes from training domains; the tasks on which a representation is judged come from others.
#[derive(Clone, Debug)]
pub struct FewShot {
    /// The start of the representation, `x` when flat.
    pub encoder: Encoder,
    /// The start of the head, `y` when flat.
    pub head: Head,
    /// Frozen.
    pub vectors: WordVectors,
    /// Where episodes come from.
    train: Vec<Domain>,
    test: Vec<Domain>,
    support: usize,
    query: usize,
    /// Weight of `||y||^2 / 2` in the lower objective.
    ridge: f64,
}

impl FewShot {
    /// Episodes of `support + query` sentences of one domain.
    ///
    /// # Errors
    /// No domain to train or test on, or one that has fewer sentences than an episode.
    pub fn new(
        (encoder, head): (Encoder, Head),
        vectors: WordVectors,
        (train, test): (Vec<Domain>, Vec<Domain>),
        (support, query): (usize, usize),
        ridge: f64,
    ) -> Result<FewShot, TextError> {
        for (what, domains) in [("training tasks", &train), ("test tasks", &test)] {
            if domains.is_empty() {
                let reason = "no domain is left for them; expected at least 1".to_owned();
                return Err(TextError::TooLittle { what, reason });
            }
            for domain in domains {
                if support == 0 || query == 0 || domain.sentences.len() < support + query {
                    let reason = format!(
                        "{support} support and {query} query sentences of the {} in domain `{}`; expected at least 1 of each and no more \
                         than there are",
                        domain.sentences.len(),
                        domain.name
                    );
                    return Err(TextError::TooLittle { what, reason });
                }
            }
        }
        Ok(FewShot { encoder, head, vectors, train, test, support, query, ridge })
    }

    /// Representation and head as flat vectors.
    pub fn start(&self) -> (Vec<f64>, Vec<f64>) {
        (self.encoder.flatten().to_f64_vec(), self.head.flatten().to_f64_vec())
    }

    /// Representation and head from flat vectors.
    pub fn trees(&self, x: &[f64], y: &[f64]) -> (Encoder, Head) {
        let array = |v: &[f64]| Array::from_slice(v, &[v.len()]);
        (self.encoder.unflatten(&array(x)), self.head.unflatten(&array(y)))
    }

    /// The task of a stream.
    pub fn episode(&self, stream: &Stream) -> Episode {
        self.drawn(&self.train, stream)
    }

    fn drawn(&self, domains: &[Domain], stream: &Stream) -> Episode {
        let domain = &domains[stream.child("domain").below(domains.len() as u64) as usize];
        domain
            .episode(&self.vectors, self.support, self.query, &stream.child("sentences"))
            .expect("domains are checked to be large enough when the problem is made")
    }

    /// One task for each step, the same for all oracles.
    pub fn samples(stream: &Stream) -> Samples {
        let sampler = Sampler::Draws { examples: 1, batch: 0, stream: *stream };
        Samples { upper: sampler, lower: sampler, shared: true }
    }

    fn penalty(&self, head: &Head) -> Array {
        head.dot_array(head) * (0.5 * self.ridge)
    }

    /// Two levels: `g` is the loss of the head on the support of the batch's task, `f` that on its query.
    pub fn problem(self: &Arc<Self>) -> Closures {
        let (a, b) = (Arc::clone(self), Arc::clone(self));
        let upper = move |encoder: &Encoder, head: &Head, batch: &Batch| {
            loss(encoder, head, &a.episode(&batch.stream).query)
        };
        let lower = move |encoder: &Encoder, head: &Head, batch: &Batch| {
            loss(encoder, head, &b.episode(&batch.stream).support) + b.penalty(head)
        };
        Closures::of_trees(&self.encoder, &self.head, upper, lower)
    }

    /// The same with the Gauss-Newton part of the lower Hessian, which is positive definite for heads of several layers too.
    pub fn gauss_newton(self: &Arc<Self>) -> GaussNewton<Closures> {
        let (a, b) = (Arc::clone(self), Arc::clone(self));
        let (encoder, head) = (Flat::of(&self.encoder), Flat::of(&self.head));
        let outputs = move |x: &Array, y: &Array, batch: &Batch| {
            let episode = a.episode(&batch.stream);
            let representation = encoder.scatter(&a.encoder, x).forward(&episode.support);
            head.scatter(&a.head, y).forward(&representation)
        };
        let loss = move |logits: &Array, batch: &Batch| {
            cross_entropy(logits, &b.episode(&batch.stream).support.labels)
        };
        GaussNewton::new(self.problem(), outputs, loss, self.ridge)
    }

    /// Mean query loss and accuracy on `episodes` tasks from domains held out, after a copy of the head took `steps` gradient steps of
    /// size `rate` on the support of each.
    pub fn evaluate(
        &self,
        (encoder, head): &(Encoder, Head),
        episodes: usize,
        (steps, rate): (usize, f64),
        stream: &Stream,
    ) -> (f64, f64) {
        let one = |i: usize| {
            let episode = self.drawn(&self.test, &stream.at(i as u64));
            let represented = encoder.forward(&episode.support);
            let labels = &episode.support.labels;
            let objective = |head: &Head| {
                cross_entropy(&head.forward(&represented), labels) + self.penalty(head)
            };
            let mut adapted = head.clone();
            for _ in 0..steps {
                adapted = adapted.axpy(-rate, &grad(objective)(&adapted));
            }
            let query = &episode.query;
            (loss(encoder, &adapted, query).item(), accuracy(encoder, &adapted, query))
        };
        let results: Vec<(f64, f64)> = (0..episodes).into_par_iter().map(one).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| {
            results.iter().map(of).fold(0.0, |sum, v| sum + v) / episodes.max(1) as f64
        };
        (mean(|r| r.0), mean(|r| r.1))
    }
}

/// MAML (Finn, Abbeel and Levine 2017) and ANIL (Raghu et al. 2020): gradient steps on the start of representation and head, through
/// the steps that adapt either both or the head alone to each task.
#[derive(Clone, Debug)]
pub struct MetaLearner {
    /// The tasks.
    pub tasks: Arc<FewShot>,
    /// Whether the representation is adapted as well (MAML).
    pub adapts_all: bool,
    /// Steps of the adaptation.
    pub inner: usize,
    /// Their size.
    pub gamma: f64,
    /// Step size of the start.
    pub eta: f64,
    /// Tasks of a step.
    pub batch: usize,
}

impl MetaLearner {
    /// Query loss after adaptation.
    fn adapted_loss(&self, start: &(Encoder, Head), episode: &Episode) -> Array {
        let support = |(encoder, head): &(Encoder, Head)| {
            loss(encoder, head, &episode.support) + self.tasks.penalty(head)
        };
        let mut now = start.clone();
        for _ in 0..self.inner {
            now = if self.adapts_all {
                now.axpy(-self.gamma, &grad(support)(&now))
            } else {
                let (encoder, head) = now;
                let slope = grad(|head: &Head| support(&(encoder.clone(), head.clone())))(&head);
                let head = head.axpy(-self.gamma, &slope);
                (encoder, head)
            };
        }
        loss(&now.0, &now.1, &episode.query)
    }
}

impl Solver for MetaLearner {
    fn name(&self) -> &'static str {
        if self.adapts_all { "MAML" } else { "ANIL" }
    }

    fn start(&self, x: &[f64], y: &[f64], oracle: &mut Oracle<'_>) -> Result<State, BilevelError> {
        oracle.check(x, y)?;
        Ok(State::new(x.to_vec(), y.to_vec()))
    }

    fn step(
        &self,
        state: &mut State,
        oracle: &mut Oracle<'_>,
        samples: &Samples,
    ) -> Result<(), BilevelError> {
        let start = self.tasks.trees(&state.x, &state.y);
        let (mut dx, mut dy) = (vec![0.0; state.x.len()], vec![0.0; state.y.len()]);
        let share = 1.0 / self.batch as f64;
        for task in 0..self.batch as u64 {
            let at = state.step * self.batch as u64 + task;
            let episode = self.tasks.episode(&samples.draw(at, Purpose::UpperX).stream);
            let slope = grad(|start: &(Encoder, Head)| self.adapted_loss(start, &episode))(&start);
            axpy(&mut dx, share, &slope.0.flatten().to_f64_vec());
            axpy(&mut dy, share, &slope.1.flatten().to_f64_vec());
            // The backward pass through a step is a product with the Hessian and one with the mixed derivative.
            let steps = self.inner as u64;
            oracle.counts.upper_gradients += 2;
            oracle.counts.lower_gradients += steps * if self.adapts_all { 2 } else { 1 };
            oracle.counts.hessian_products += steps;
            oracle.counts.jacobian_products += steps;
        }
        axpy(&mut state.x, -self.eta, &dx);
        axpy(&mut state.y, -self.eta, &dy);
        state.direction = dx;
        state.step += 1;
        state.check_finite()
    }
}
