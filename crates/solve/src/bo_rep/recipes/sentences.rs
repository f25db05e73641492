//! Few-shot tasks on sentences.

use std::path::PathBuf;
use std::sync::Arc;

use lisse_array::{Array, Stream};
use lisse_data::Text;
use lisse_run::{Audit, Error, Invalid, Watch};
use serde::{Deserialize, Serialize};

use super::task::{Start, Task, Values};
use crate::bilevel::baselines::State;
use crate::bilevel::{Bilevel, Samples};
use crate::bo_rep::FewShot;
use crate::bo_rep::network::{Cell, Encoder, Head, loss};
use crate::bo_rep::text::{
    Domain, WordVectors, directions, read_reviews, read_tweets, review_domains, sections,
    vocabulary,
};

/// Tasks, network and tests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FewShotConfig {
    /// The sentences.
    pub source: Source,
    /// Frozen word vectors in a text file; random ones if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<PathBuf>,
    /// Length of random word vectors.
    pub width: usize,
    /// Random vectors are for words that occur at least so often.
    pub least: usize,
    /// The recurrent layers.
    pub cell: Cell,
    /// How many.
    pub layers: usize,
    /// Units of a layer.
    pub hidden: usize,
    /// Widths of the head's hidden layers.
    pub head: Vec<usize>,
    /// Domains held out for tests, at random.
    pub held_out: usize,
    /// Sentences that a head learns from in a task.
    pub support: usize,
    /// Sentences that it is judged by.
    pub query: usize,
    /// Penalty of the head.
    pub ridge: f64,
    /// Whether products with the lower Hessian are those of its Gauss-Newton part.
    pub gauss_newton: bool,
    /// Test tasks.
    pub tests: usize,
    /// Gradient steps of the head on a test task.
    pub adaptation: usize,
    /// Their size.
    pub adaptation_rate: f64,
}

/// Where sentences come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Windows of the bundled text, read forwards or backwards: which way round? Its sections are the domains.
    Directions {
        /// Words in a window.
        length: usize,
    },
    /// Reviews by sort of goods.
    Reviews {
        /// A JSON file.
        file: PathBuf,
    },
    /// Tweets; each file is a domain.
    Tweets {
        /// JSON files, at least two.
        files: Vec<PathBuf>,
    },
}

impl Default for FewShotConfig {
    fn default() -> Self {
        FewShotConfig {
            source: Source::Directions { length: 12 },
            vectors: None,
            width: 32,
            least: 5,
            cell: Cell::Tanh,
            layers: 2,
            hidden: 24,
            head: vec![16, 16],
            held_out: 8,
            support: 20,
            query: 20,
            ridge: 1e-2,
            gauss_newton: true,
            tests: 40,
            adaptation: 20,
            adaptation_rate: 0.1,
        }
    }
}

impl FewShotConfig {
    pub fn validate(&self) -> Result<(), Invalid> {
        let check = |good: bool, key: &str, expected: &str| {
            let key = format!("problem.{key}");
            if good { Ok(()) } else { Err(Invalid::new(key, expected)) }
        };
        for (size, key) in [
            (self.width, "width"),
            (self.least, "least"),
            (self.layers, "layers"),
            (self.hidden, "hidden"),
            (self.held_out, "held_out"),
            (self.support, "support"),
            (self.query, "query"),
            (self.tests, "tests"),
        ] {
            check(size > 0, key, "at least 1")?;
        }
        check(self.head.iter().all(|&w| w > 0), "head", "widths of at least 1")?;
        check(self.ridge > 0.0 && self.ridge.is_finite(), "ridge", "a finite number above 0")?;
        let rate = self.adaptation_rate;
        check(rate > 0.0 && rate.is_finite(), "adaptation_rate", "a finite number above 0")?;
        match &self.source {
            Source::Directions { length } => check(*length > 1, "source.length", "at least 2"),
            Source::Tweets { files } => check(files.len() > 1, "source.files", "at least 2 files"),
            Source::Reviews { .. } => Ok(()),
        }
    }

    /// Domains with enough sentences, in the order of the source, and the word vectors.
    fn load(&self, stream: &Stream) -> Result<(Vec<Domain>, WordVectors), Error> {
        let given =
            self.vectors.as_deref().map(WordVectors::read).transpose().map_err(Error::other)?;
        let vectors = |texts: &mut dyn Iterator<Item = &str>| {
            given.clone().unwrap_or_else(|| {
                let words = vocabulary(texts, self.least);
                WordVectors::random(&words, self.width, &stream.child("words"))
            })
        };
        let enough = self.support + self.query;
        let (mut domains, vectors) = match &self.source {
            Source::Directions { length } => {
                let text = Text::bundled("topics").map_err(Error::other)?;
                let sections = sections(&String::from_utf8_lossy(text.bytes()));
                let vectors = vectors(&mut sections.iter().map(|(_, body)| body.as_str()));
                let turned = stream.child("turned");
                (directions(&sections, &vectors, *length, enough, &turned), vectors)
            }
            Source::Reviews { file } => {
                let reviews = read_reviews(file).map_err(Error::other)?;
                let vectors = vectors(&mut reviews.iter().map(|r| r.text.as_str()));
                let name = file.display().to_string();
                (review_domains(&name, &reviews, &vectors).map_err(Error::other)?, vectors)
            }
            Source::Tweets { files } => {
                let Some(vectors) = given else {
                    let text = "problem.vectors: tweets need word vectors in a file; random ones know no meanings";
                    return Err(Error::message(text));
                };
                let read = |file: &PathBuf| read_tweets(file, &vectors);
                let domains = files.iter().map(read).collect::<Result<_, _>>();
                (domains.map_err(Error::other)?, vectors)
            }
        };
        domains.retain(|d: &Domain| d.sentences.len() >= enough);
        if domains.len() <= self.held_out {
            return Err(Error::message(format!(
                "problem.held_out: {} of the {} domains with at least {enough} sentences are to be held out, which leaves none to learn from",
                self.held_out,
                domains.len()
            )));
        }
        Ok((domains, vectors))
    }
}

/// Few-shot tasks as a recipe shows them.
pub struct FewShotTask {
    tasks: Arc<FewShot>,
    problem: Box<dyn Bilevel>,
    tests: usize,
    adaptation: (usize, f64),
    stream: Stream,
}

impl FewShotTask {
    pub fn new(config: &FewShotConfig, stream: &Stream) -> Result<FewShotTask, Error> {
        let (mut domains, vectors) = config.load(stream)?;
        let mut held = stream.child("held out").choose(domains.len(), config.held_out);
        held.sort_unstable();
        let mut test: Vec<Domain> = held.iter().rev().map(|&i| domains.remove(i)).collect();
        test.reverse();
        let cells = stream.child("encoder");
        let encoder =
            Encoder::new(config.cell, vectors.width(), config.hidden, config.layers, &cells);
        let widths: Vec<usize> =
            [config.hidden].into_iter().chain(config.head.iter().copied()).chain([2]).collect();
        let head = Head::new(&widths, &stream.child("head"));
        let sizes = (config.support, config.query);
        let tasks = FewShot::new((encoder, head), vectors, (domains, test), sizes, config.ridge)
            .map_err(Error::other)?;
        let tasks = Arc::new(tasks);
        let problem: Box<dyn Bilevel> = if config.gauss_newton {
            Box::new(tasks.gauss_newton())
        } else {
            Box::new(tasks.problem())
        };
        let adaptation = (config.adaptation, config.adaptation_rate);
        Ok(FewShotTask {
            tasks,
            problem,
            tests: config.tests,
            adaptation,
            stream: stream.child("tests"),
        })
    }

    /// The tasks, for MAML and ANIL.
    pub fn tasks(&self) -> Arc<FewShot> {
        Arc::clone(&self.tasks)
    }
}

impl Task for Arc<FewShotTask> {
    fn problem(&self) -> &dyn Bilevel {
        &*self.problem
    }

    fn start(&self) -> Start {
        let (x, y) = self.tasks.start();
        Start { x, y, z: None }
    }

    fn samples(&self, _: Option<usize>, stream: &Stream) -> Samples {
        FewShot::samples(stream)
    }

    fn measure(&self, state: &State) -> Values {
        let trees = self.tasks.trees(&state.x, &state.y);
        let (loss, accuracy) =
            self.tasks.evaluate(&trees, self.tests, self.adaptation, &self.stream);
        vec![("test_loss", loss), ("test_accuracy", accuracy)]
    }

    fn conclude(&self, state: &State, _: &mut Watch) -> Result<Values, Error> {
        Ok(self.measure(state))
    }

    fn audits(&self) -> Vec<Audit> {
        let episode = self.tasks.episode(&Stream::new(1));
        let at = (self.tasks.encoder.clone(), self.tasks.head.clone());
        let upper = move |(encoder, head): &(Encoder, Head)| -> Array {
            loss(encoder, head, &episode.query)
        };
        vec![Audit::new("query loss", at, upper)]
    }
}
