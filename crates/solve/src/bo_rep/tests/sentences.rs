//! Texts, networks and few-shot tasks.

use std::io::Write;
use std::sync::Arc;

use lisse_array::{DType, Stream, check};
use lisse_data::Text;

use super::{near, solve};
use crate::bilevel::baselines::Solver;
use crate::bilevel::{Batch, Bilevel, Oracle, Purpose, Wrt};
use crate::bo_rep::network::{Cell, Encoder, Head, loss};
use crate::bo_rep::text::{
    Domain, Review, WordVectors, directions, read_reviews, read_tweets, review_domains, sections,
    vocabulary, words,
};
use crate::bo_rep::{BoRep, FewShot, MetaLearner};

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn vectors() -> WordVectors {
    let list: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
    WordVectors::random(&list, 3, &Stream::new(0))
}

fn tasks(hidden: &[usize]) -> Arc<FewShot> {
    let vectors = vectors();
    let domain = |name: &str, seed: u64| {
        let sentence = |i: u64| {
            let stream = Stream::new(seed).at(i);
            let length = 2 + stream.child("length").below(4);
            let mut tokens: Vec<i64> =
                (0..length).map(|j| 3 + stream.below_at(j, 4) as i64).collect();
            tokens.insert(0, 1);
            tokens.push(2);
            tokens
        };
        Domain {
            name: name.into(),
            sentences: (0..12).map(sentence).collect(),
            labels: (0..12).map(|i| i % 2).collect(),
        }
    };
    let encoder = Encoder::new(Cell::Tanh, 3, 4, 2, &Stream::new(1));
    let widths: Vec<usize> = [4].into_iter().chain(hidden.iter().copied()).chain([2]).collect();
    let head = Head::new(&widths, &Stream::new(2));
    let domains = (vec![domain("one", 3), domain("two", 4)], vec![domain("three", 5)]);
    Arc::new(FewShot::new((encoder, head), vectors, domains, (4, 5), 0.1).unwrap())
}

#[test]
fn texts_are_cut_into_words_and_sections() {
    let found: Vec<String> = words("It's \"quoted\": don't_stop, 'x' = 3!").collect();
    assert_eq!(found, ["it's", "quoted", "don't_stop", "x", "3"]);
    assert_eq!(vocabulary(["b a b", "a c b"], 2), ["a", "b"]);
    let text = Text::bundled("topics").unwrap();
    let found = sections(&String::from_utf8_lossy(text.bytes()));
    assert_eq!(found[0].0, "The \"assert\" statement");
    assert!(found.len() > 70 && found[0].1.contains("__debug__"));
}

#[test]
fn windows_are_turned_round_by_half() {
    let sections = vec![
        ("s".to_owned(), "a b c d a b c d a b c".to_owned()),
        ("t".to_owned(), "a".to_owned()),
    ];
    let vectors = vectors();
    let found = directions(&sections, &vectors, 2, 3, &Stream::new(0));
    assert_eq!(found.len(), 1);
    let domain = &found[0];
    assert_eq!(domain.sentences.len(), 5);
    assert_eq!(domain.labels.iter().sum::<i64>(), 2);
    let forward = vectors.sentence("a b");
    let backward: Vec<i64> = vec![1, forward[2], forward[1], 2];
    let expected = if domain.labels[0] == 1 { &backward } else { &forward };
    assert_eq!(&domain.sentences[0], expected);
}

#[test]
fn vectors_of_a_file() {
    let found = WordVectors::read(file("The 1 2\ncat -0.5 4e-1\n\n").path()).unwrap();
    assert_eq!((found.width(), found.len()), (2, 2));
    let batch = found.batch(&[&found.sentence("The cat sat"), &found.sentence("cat")], &[0, 1]);
    assert_eq!(batch.words.shape(), [2, 3, 2]);
    // `The` is not `the`: only `cat` has a vector.
    assert_eq!(batch.words.index(0, 1).index(0, 1).to_vec::<f64>(), [-0.5, 0.4]);
    for (content, expected) in [
        ("the 1 2\ncat 1\n", "line 2: 1 numbers after the word; expected 2"),
        ("the 1 x\n", "line 1: `x` is not a finite number"),
        ("the 1 inf\n", "`inf` is not a finite number"),
        ("the\n", "line 1: 0 numbers after the word"),
    ] {
        let message = WordVectors::read(file(content).path()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert!(WordVectors::read(std::path::Path::new("/nowhere")).is_err());
}

#[test]
fn random_vectors_belong_to_words() {
    let one = WordVectors::random(&["b".into(), "a".into()], 3, &Stream::new(0));
    let (a, b) = (one.sentence("a"), vectors().sentence("a"));
    let row = |v: &WordVectors, s: &[i64]| v.batch(&[s], &[0]).words.to_vec::<f64>();
    assert_eq!(row(&one, &a), row(&vectors(), &b));
}

#[test]
fn reviews_and_tweets() {
    let one = r#"{"text": "a b", "label": "negative", "domain": "books"}"#;
    let two = r#"{"text": "c x", "label": "positive", "domain": "toys"}"#;
    let array = read_reviews(file(&format!("[{one}, {two}]")).path()).unwrap();
    let lines = read_reviews(file(&format!("{one}\n{two}\n")).path()).unwrap();
    assert_eq!(array, lines);
    let domains = review_domains("f", &array, &vectors()).unwrap();
    assert_eq!((domains[0].name.as_str(), &domains[0].labels[..]), ("books", &[1][..]));
    assert_eq!(domains[1].sentences[0].len(), 3); // `x` has no vector
    let wrong = Review { label: "good".into(), ..array[0].clone() };
    let message = review_domains("f", &[wrong], &vectors()).unwrap_err().to_string();
    assert_eq!(message, "f: record 1: the label is `good`; expected `positive` or `negative`");
    assert!(read_reviews(file("{\"text\": 3}").path()).is_err());

    let tweets = r#"{"users": ["u"], "user_data": {"u": {"x": [["1","d","q","u","a b c"],["2","d","q","u","d"]], "y": ["4", 0]}}}"#;
    let domain = read_tweets(file(tweets).path(), &vectors()).unwrap();
    assert_eq!((domain.labels, domain.sentences[0].len()), (vec![1, 0], 5));
    let short = tweets.replace(",\"a b c\"", "");
    let message = read_tweets(file(&short).path(), &vectors()).unwrap_err().to_string();
    assert!(
        message.contains("record 1: a row of 4 elements; expected the text in element 4"),
        "{message}"
    );
    let label = tweets.replace("\"4\"", "\"2\"");
    let message = read_tweets(file(&label).path(), &vectors()).unwrap_err().to_string();
    assert!(message.contains("the label is `2`; expected `0` or `4`"), "{message}");
}

#[test]
fn derivatives_of_the_networks() {
    let vectors = vectors();
    let sentences = vectors.batch(&[&vectors.sentence("a b c"), &vectors.sentence("d")], &[0, 1]);
    for cell in [Cell::Tanh, Cell::Gru, Cell::Lstm] {
        let encoder = Encoder::new(cell, 3, 3, 2, &Stream::new(1));
        let head = Head::new(&[3, 2, 2], &Stream::new(2));
        let f = |(encoder, head): &(Encoder, Head)| loss(encoder, head, &sentences);
        check::gradient(f, &(encoder, head), 2).unwrap();
    }
}

#[test]
fn what_is_behind_the_end_does_not_count() {
    let vectors = vectors();
    let short = vectors.sentence("a b");
    let long = vectors.sentence("a b c d a b");
    for cell in [Cell::Tanh, Cell::Gru, Cell::Lstm] {
        let encoder = Encoder::new(cell, 3, 4, 2, &Stream::new(1));
        let alone = encoder.forward(&vectors.batch(&[&short], &[0])).to_vec::<f64>();
        let together = encoder.forward(&vectors.batch(&[&short, &long], &[0, 0]));
        near(&alone, &together.index(0, 0).to_vec::<f64>(), 1e-14);
    }
}

/// Mixed products against differences of the lower gradient; the Gauss-Newton product for one linear layer is the Hessian itself.
#[test]
fn oracles_of_tasks() {
    let tasks = tasks(&[]);
    let (problem, fast) = (tasks.problem(), tasks.gauss_newton());
    let (x, y) = tasks.start();
    let batch = Batch { stream: Stream::new(7), ..Batch::all() };
    let v: Vec<f64> = Stream::new(8).normal(&[y.len()], DType::F64).to_vec();
    let exact = problem.hessian_product(&x, &y, &v, &batch);
    near(&exact, &fast.hessian_product(&x, &y, &v, &batch), 1e-12);
    let cross = problem.cross_product(&x, &y, &v, &batch);
    let u: Vec<f64> = Stream::new(9).normal(&[x.len()], DType::F64).to_vec();
    let along = |t: f64| {
        let x: Vec<f64> = x.iter().zip(&u).map(|(x, u)| x + t * u).collect();
        let slope = problem.lower(&x, &y, &batch, Wrt::Y).y;
        slope.iter().zip(&v).map(|(g, v)| g * v).sum::<f64>()
    };
    let d = 1e-5;
    let difference = (along(d) - along(-d)) / (2.0 * d);
    let exact: f64 = cross.iter().zip(&u).map(|(c, u)| c * u).sum();
    assert!((difference - exact).abs() < 1e-7 * exact.abs().max(1.0), "{difference} and {exact}");
    // With hidden layers the Gauss-Newton part is positive definite, whatever the head.
    let deep = self::tasks(&[3]);
    let (x, y) = deep.start();
    let product = deep.gauss_newton();
    for seed in 0..20 {
        let v: Vec<f64> = Stream::new(seed).normal(&[y.len()], DType::F64).to_vec();
        let image = product.hessian_product(&x, &y, &v, &batch);
        let bent: f64 = v.iter().zip(&image).map(|(v, i)| v * i).sum();
        let square: f64 = v.iter().map(|v| v * v).sum();
        assert!(bent >= 0.1 * square * (1.0 - 1e-9));
    }
}

#[test]
fn a_step_sees_one_task_in_all_oracles() {
    let samples = FewShot::samples(&Stream::new(1));
    let at = |step, purpose| samples.draw(step, purpose).stream;
    for purpose in
        [Purpose::LowerGradient, Purpose::Hessian, Purpose::UpperY, Purpose::UpperX, Purpose::Cross]
    {
        assert_eq!(at(3, purpose), at(3, Purpose::UpperY));
        assert_ne!(at(3, purpose), at(4, purpose));
    }
}

/// One step of ANIL and MAML is a gradient step of the adapted loss: against finite differences along a direction.
#[test]
fn meta_gradients() {
    let tasks = tasks(&[3]);
    let (x, y) = tasks.start();
    let problem = tasks.problem();
    let samples = FewShot::samples(&Stream::new(6));
    for adapts_all in [false, true] {
        let learner = MetaLearner {
            tasks: Arc::clone(&tasks),
            adapts_all,
            inner: 2,
            gamma: 0.3,
            eta: 1.0,
            batch: 2,
        };
        let end = solve(&learner, &problem, (&x, &y), &samples, 1, |_| false);
        let adapted = |t: f64, u: &[f64]| {
            let moved: Vec<f64> = x.iter().zip(u).map(|(x, u)| x + t * u).collect();
            let mut total = 0.0;
            for task in 0..2 {
                let batch = samples.draw(task, Purpose::UpperX);
                let (mut x, mut y) = (moved.clone(), y.clone());
                for _ in 0..2 {
                    let wrt = Wrt::Both;
                    let slope = problem.lower(&x, &y, &batch, wrt);
                    y.iter_mut().zip(&slope.y).for_each(|(y, g)| *y -= 0.3 * g);
                    if adapts_all {
                        x.iter_mut().zip(&slope.x).for_each(|(x, g)| *x -= 0.3 * g);
                    }
                }
                total += problem.upper(&x, &y, &batch, Wrt::Y).value / 2.0;
            }
            total
        };
        let u: Vec<f64> = Stream::new(11).normal(&[x.len()], DType::F64).to_vec();
        let d = 1e-5;
        let difference = (adapted(d, &u) - adapted(-d, &u)) / (2.0 * d);
        let exact: f64 = end.direction.iter().zip(&u).map(|(g, u)| g * u).sum();
        assert!(
            (difference - exact).abs() < 1e-6 * exact.abs().max(1.0),
            "{difference} and {exact}"
        );
    }
}

#[test]
fn training_lowers_the_query_loss_on_any_number_of_threads() {
    let tasks = tasks(&[]);
    let (x, y) = tasks.start();
    let problem = tasks.gauss_newton();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let method = BoRep { eta: 0.05, tasks: 2, ..BoRep::default() };
            let samples = FewShot::samples(&Stream::new(2));
            let end = solve(&method, &problem, (&x, &y), &samples, 15, |_| false);
            let judged = tasks.evaluate(&tasks.trees(&end.x, &end.y), 6, (5, 0.3), &Stream::new(3));
            (end.x, end.y, judged)
        })
    };
    let (one, two) = (run(1), run(2));
    assert_eq!(one, two);
    assert_ne!(one.0, x);
}

#[test]
fn the_momentum_is_the_mean_over_tasks() {
    let tasks = tasks(&[]);
    let (x, y) = tasks.start();
    let problem = tasks.problem();
    let samples = FewShot::samples(&Stream::new(2));
    // Two tasks at beta = 0 and eta = 0: the direction of the second is kept, the step is zero.
    let method = |eta| BoRep {
        eta,
        beta: 0.5,
        tasks: 2,
        gamma: Some(0.1),
        nu: Some(0.1),
        ..BoRep::default()
    };
    let still = solve(&method(0.0), &problem, (&x, &y), &samples, 1, |_| false);
    assert_eq!(still.x, x);
    let moved = solve(&method(0.2), &problem, (&x, &y), &samples, 1, |_| false);
    let length: f64 = moved.x.iter().zip(&x).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
    assert!((length - 0.2).abs() < 1e-6);
    assert_eq!(still.direction, moved.direction);
}

#[test]
fn tasks_that_cannot_be_drawn_are_refused() {
    let tasks = tasks(&[]);
    let domain = Domain { name: "few".into(), sentences: vec![vec![1, 2]; 3], labels: vec![0; 3] };
    let parts = || (tasks.encoder.clone(), tasks.head.clone());
    let make = |train, test| FewShot::new(parts(), vectors(), (train, test), (2, 2), 0.1);
    let message = make(vec![domain.clone()], vec![domain.clone()]).unwrap_err().to_string();
    assert!(
        message.contains("2 support and 2 query sentences of the 3 in domain `few`"),
        "{message}"
    );
    let message = make(vec![], vec![domain]).unwrap_err().to_string();
    assert!(message.contains("training tasks: no domain is left"), "{message}");
    let learner = MetaLearner {
        tasks: Arc::clone(&tasks),
        adapts_all: true,
        inner: 1,
        gamma: 0.1,
        eta: 0.1,
        batch: 1,
    };
    let problem = tasks.problem();
    let mut oracle = Oracle::new(&problem);
    assert!(learner.start(&[0.0], &[0.0], &mut oracle).is_err());
}
