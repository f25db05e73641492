//! Sentences in domains, as sequences of frozen word vectors.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use lisse_array::{Array, DType, Stream};
use lisse_data::{DataError, Text, read_jsonl};
use serde::Deserialize;

/// Token of the places behind the end of a sentence; its vector is zero.
const PAD: i64 = 0;
const START: i64 = 1;
const END: i64 = 2;

/// What can be wrong with texts and word vectors.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file that cannot be read, or that is not what it should be.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A line of a word vector file.
    #[error("{file}: line {line}: {reason}")]
    Line {
        /// The file.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// What was wrong and what would be right.
        reason: String,
    },
    /// A record whose label is none of the two.
    #[error("{file}: record {record}: the label is `{found}`; expected {expected}")]
    Label {
        /// The file.
        file: String,
        /// Number of the record, from 1.
        record: usize,
        /// The label found.
        found: String,
        /// The labels known.
        expected: &'static str,
    },
    /// Too little text for what was asked.
    #[error("{what}: {reason}")]
    TooLittle {
        /// What was to be made.
        what: &'static str,
        /// What there is, and what is needed.
        reason: String,
    },
}

/// A vector for each word; not trained.
#[derive(Clone, Debug)]
pub struct WordVectors {
    /// `[3 + words, width]` in f64: padding, start, end, then the words.
    table: Array,
    numbers: HashMap<String, i64>,
}

impl WordVectors {
    /// Normal vectors of expected square norm 1. That of a word depends on the stream and the word alone.
    pub fn random(words: &[String], width: usize, stream: &Stream) -> WordVectors {
        let mut numbers = HashMap::new();
        let draw = |stream: &Stream| stream.normal(&[width], DType::F64).to_f64_vec();
        let mut table = vec![0.0; width];
        table.extend(draw(&stream.at(START as u64)));
        table.extend(draw(&stream.at(END as u64)));
        for word in words {
            if !numbers.contains_key(word) {
                numbers.insert(word.clone(), numbers.len() as i64 + END + 1);
                table.extend(draw(&stream.child(word)));
            }
        }
        let rows = numbers.len() + 3;
        let table = Array::from_vec(table, &[rows, width]) * (1.0 / (width as f64).sqrt());
        WordVectors { table, numbers }
    }

    /// The vectors of a text file, gzipped or not, with a word and its numbers on each line: `the 0.418 0.24968 ...`.
    /// Start and end of a sentence get random vectors.
    ///
    /// # Errors
    /// An unreadable file, a line without numbers, lines of different widths, a number that is not finite.
    pub fn read(path: &Path) -> Result<WordVectors, TextError> {
        let text = Text::read(path)?;
        let content = String::from_utf8_lossy(text.bytes());
        let (mut words, mut values, mut width) = (Vec::new(), Vec::new(), 0);
        for (index, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let wrong = |reason: String| TextError::Line {
                file: text.name.clone(),
                line: index + 1,
                reason,
            };
            let mut fields = line.split_ascii_whitespace();
            words.push(fields.next().unwrap_or_default().to_owned());
            let before = values.len();
            for field in fields {
                let value = field.parse::<f64>().ok().filter(|v| v.is_finite());
                values.push(value.ok_or_else(|| {
                    wrong(format!(
                        "`{field}` is not a finite number; expected a word and its numbers"
                    ))
                })?);
            }
            let found = values.len() - before;
            if found == 0 || (width > 0 && found != width) {
                let expected = if width > 0 { width.to_string() } else { "some".into() };
                return Err(wrong(format!("{found} numbers after the word; expected {expected}")));
            }
            width = found;
        }
        let mut vectors = WordVectors::random(&words, width, &Stream::new(0).child("words"));
        let mut table = vectors.table.to_f64_vec();
        for (word, row) in words.iter().zip(values.chunks(width.max(1))) {
            let at = vectors.numbers[word] as usize * width;
            table[at..at + width].copy_from_slice(row);
        }
        vectors.table = Array::from_vec(table, vectors.table.shape());
        Ok(vectors)
    }

    /// Length of a vector.
    pub fn width(&self) -> usize {
        self.table.dim(1)
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether no word has a vector.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The words of a text as tokens between start and end; words without a vector are dropped.
    pub fn sentence(&self, text: &str) -> Vec<i64> {
        Self::enclose(words(text).filter_map(|w| self.numbers.get(&w).copied()))
    }

    fn enclose(tokens: impl Iterator<Item = i64>) -> Vec<i64> {
        std::iter::once(START).chain(tokens).chain([END]).collect()
    }

    /// Sentences of different lengths as one batch.
    pub fn batch(&self, sentences: &[&[i64]], labels: &[i64]) -> Sentences {
        let longest = sentences.iter().map(|s| s.len()).max().unwrap_or(0).max(1);
        let shape = [sentences.len(), longest];
        let mut tokens = vec![PAD; sentences.len() * longest];
        let mut mask = vec![0.0; tokens.len()];
        for (row, sentence) in sentences.iter().enumerate() {
            let at = row * longest;
            tokens[at..at + sentence.len()].copy_from_slice(sentence);
            mask[at..at + sentence.len()].fill(1.0);
        }
        Sentences {
            words: self.table.embedding(&Array::from_vec(tokens, &shape)),
            mask: Array::from_vec(mask, &shape),
            labels: Array::from_slice(labels, &[labels.len()]),
        }
    }
}

/// Sentences of a batch.
#[derive(Clone, Debug)]
pub struct Sentences {
    /// Word vectors, f64 `[sentences, time, width]`, zero behind the end of a sentence.
    pub words: Array,
    /// 1 where there is a word, 0 behind the end, `[sentences, time]`.
    pub mask: Array,
    /// Classes, i64 `[sentences]`.
    pub labels: Array,
}

/// Labelled sentences of one kind: reviews of one sort of goods, a topic.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// What they have in common.
    pub name: String,
    /// Tokens.
    pub sentences: Vec<Vec<i64>>,
    /// 0 or 1.
    pub labels: Vec<i64>,
}

/// Support and query sentences of a few-shot task.
#[derive(Clone, Debug)]
pub struct Episode {
    /// What the head learns from.
    pub support: Sentences,
    /// What the representation is judged by.
    pub query: Sentences,
}

impl Domain {
    /// `support + query` different sentences at random.
    ///
    /// # Errors
    /// The domain has fewer.
    pub fn episode(
        &self,
        vectors: &WordVectors,
        support: usize,
        query: usize,
        stream: &Stream,
    ) -> Result<Episode, TextError> {
        if support + query > self.sentences.len() {
            return Err(TextError::TooLittle {
                what: "an episode",
                reason: format!(
                    "{support} support and {query} query sentences of the {} in domain `{}`",
                    self.sentences.len(),
                    self.name
                ),
            });
        }
        let drawn = stream.choose(self.sentences.len(), support + query);
        let batch = |part: &[usize]| {
            let sentences: Vec<&[i64]> = part.iter().map(|&i| &self.sentences[i][..]).collect();
            let labels: Vec<i64> = part.iter().map(|&i| self.labels[i]).collect();
            vectors.batch(&sentences, &labels)
        };
        Ok(Episode { support: batch(&drawn[..support]), query: batch(&drawn[support..]) })
    }
}

/// The words of a text in lower case.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '_')
        .map(|word| word.trim_matches('\'').to_lowercase())
        .filter(|word| !word.is_empty())
}

/// Words that occur at least `least` times, in alphabetical order.
pub fn vocabulary<'a>(texts: impl IntoIterator<Item = &'a str>, least: usize) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for text in texts {
        words(text).for_each(|word| *counts.entry(word).or_default() += 1);
    }
    counts.into_iter().filter(|&(_, count)| count >= least).map(|(word, _)| word).collect()
}

/// The sections of a text whose headings are underlined with stars, by heading.
pub fn sections(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let underlined = |i: usize| {
        let under = lines.get(i + 1).map_or("", |l| l.trim_end());
        under.len() >= 3 && under.bytes().all(|b| b == b'*') && !lines[i].trim().is_empty()
    };
    let starts: Vec<usize> = (0..lines.len()).filter(|&i| underlined(i)).collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| (lines[start].trim().to_owned(), lines[start + 2..end].join("\n")))
        .collect()
}

/// Which way round was it read? Each section is cut into windows of `length` words, one after the other; half of them, at
/// random, are turned round and have label 1. Sections with fewer than `least` windows are left out.
pub fn directions(
    sections: &[(String, String)],
    vectors: &WordVectors,
    length: usize,
    least: usize,
    stream: &Stream,
) -> Vec<Domain> {
    let domain = |(name, body): &(String, String)| {
        let tokens: Vec<i64> =
            words(body).filter_map(|word| vectors.numbers.get(&word).copied()).collect();
        let windows: Vec<&[i64]> = tokens.chunks_exact(length.max(1)).collect();
        let turned = stream.child(name).choose(windows.len(), windows.len() / 2);
        let mut labels = vec![0; windows.len()];
        for i in turned {
            labels[i] = 1;
        }
        let token = |window: &&[i64], label: i64| {
            let mut window = window.to_vec();
            if label == 1 {
                window.reverse();
            }
            WordVectors::enclose(window.into_iter())
        };
        let sentences = windows.iter().zip(&labels).map(|(w, &label)| token(w, label)).collect();
        Domain { name: name.clone(), sentences, labels }
    };
    sections.iter().map(domain).filter(|d| d.sentences.len() >= least).collect()
}

/// One labelled text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Review {
    /// The words.
    pub text: String,
    /// `positive` or `negative`.
    pub label: String,
    /// Sort of goods.
    pub domain: String,
}

/// Reads reviews: a JSON array of objects with the keys `text`, `label` and `domain`, or one such object on each line.
///
/// # Errors
/// An unreadable file or another structure, with line and column.
pub fn read_reviews(path: &Path) -> Result<Vec<Review>, TextError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Line {
        One(Review),
        Many(Vec<Review>),
    }
    let lines: Vec<Line> = read_jsonl(path)?;
    let flat = lines.into_iter().flat_map(|line| match line {
        Line::One(review) => vec![review],
        Line::Many(reviews) => reviews,
    });
    Ok(flat.collect())
}

/// Reviews by domain; `positive` is class 0 and `negative` class 1.
///
/// # Errors
/// Another label.
pub fn review_domains(
    file: &str,
    reviews: &[Review],
    vectors: &WordVectors,
) -> Result<Vec<Domain>, TextError> {
    const EXPECTED: &str = "`positive` or `negative`";
    let mut domains: BTreeMap<&str, Domain> = BTreeMap::new();
    for (index, review) in reviews.iter().enumerate() {
        let label = class(file, index, &review.label, ["positive", "negative"], EXPECTED)?;
        let domain = domains.entry(&review.domain).or_default();
        domain.name.clone_from(&review.domain);
        domain.sentences.push(vectors.sentence(&review.text));
        domain.labels.push(label);
    }
    Ok(domains.into_values().collect())
}

/// Reads tweets in the layout of federated benchmarks, `{"users": [..], "user_data": {user: {"x": [..], "y": [..]}}}` on one
/// line: the text is element 4 of each row of `x`, the label `0` or `4` (class 0 or 1). All are one domain of the file's name.
///
/// # Errors
/// An unreadable file or another structure; rows without text; another label.
pub fn read_tweets(path: &Path, vectors: &WordVectors) -> Result<Domain, TextError> {
    const EXPECTED: &str = "`0` or `4`";
    #[derive(Deserialize)]
    struct File {
        user_data: BTreeMap<String, Tweets>,
    }
    #[derive(Deserialize)]
    struct Tweets {
        x: Vec<Vec<String>>,
        y: Vec<Label>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Label {
        Text(String),
        Number(i64),
    }
    let name = path.display().to_string();
    let mut domain = Domain { name: name.clone(), ..Domain::default() };
    for tweets in
        read_jsonl::<File>(path)?.into_iter().flat_map(|file| file.user_data.into_values())
    {
        for (row, label) in tweets.x.iter().zip(tweets.y) {
            let record = domain.sentences.len();
            let text = row.get(4).ok_or_else(|| TextError::Line {
                file: name.clone(),
                line: 1,
                reason: format!(
                    "record {}: a row of {} elements; expected the text in element 4",
                    record + 1,
                    row.len()
                ),
            })?;
            let label = match label {
                Label::Text(text) => text,
                Label::Number(number) => number.to_string(),
            };
            domain.labels.push(class(&name, record, &label, ["0", "4"], EXPECTED)?);
            domain.sentences.push(vectors.sentence(text));
        }
    }
    Ok(domain)
}

fn class(
    file: &str,
    index: usize,
    label: &str,
    classes: [&str; 2],
    expected: &'static str,
) -> Result<i64, TextError> {
    let found = classes.iter().position(|&c| c == label);
    found.map(|c| c as i64).ok_or_else(|| TextError::Label {
        file: file.into(),
        record: index + 1,
        found: label.into(),
        expected,
    })
}
