//! Parameter groups by path: other learning rates, other weight decay, frozen parts.

use lisse_array::{Array, Tree};
use serde::{Deserialize, Serialize};

/// Settings for the leaves whose path matches a pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// A path with `*` for any run of characters: `blocks.*.norm.*`, `*bias`.
    pub pattern: String,
    /// Multiplies the learning rate; 0 freezes.
    #[serde(default = "one")]
    pub learning_rate_scale: f64,
    /// Replaces the optimizer's weight decay.
    #[serde(default)]
    pub weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// Groups in order; the first whose pattern matches a leaf counts, leaves that none matches keep the optimizer's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Groups(
    /// The groups, most specific first.
    pub Vec<Group>,
);

/// What a leaf's update uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LeafSettings {
    pub trained: bool,
    pub learning_rate: f64,
    pub weight_decay: f64,
}

impl LeafSettings {
    /// The gradient at `x` with that of the L2 penalty.
    pub fn penalised(&self, x: &Array, gradient: &Array) -> Array {
        if self.weight_decay == 0.0 {
            gradient.clone()
        } else {
            gradient.add_scaled(self.weight_decay, x)
        }
    }
}

/// What trained and other leaves have become, in the order of all leaves.
pub(crate) fn in_order<T>(
    settings: &[LeafSettings],
    trained: Vec<T>,
    others: Vec<T>,
) -> impl Iterator<Item = T> {
    let (mut trained, mut others) = (trained.into_iter(), others.into_iter());
    settings.iter().map_while(move |leaf| if leaf.trained { trained.next() } else { others.next() })
}

impl Groups {
    /// Settings of every leaf, in order.
    pub(crate) fn settings<P: Tree>(
        &self,
        params: &P,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Vec<LeafSettings> {
        let trainable = params.trainable();
        let plain = |&trained: &bool| LeafSettings { trained, learning_rate, weight_decay };
        if self.0.is_empty() {
            return trainable.iter().map(plain).collect();
        }
        let named = params.named_leaves();
        let setting = |((path, _), trained): (&(String, _), &bool)| {
            let group = self.0.iter().find(|g| matches(&g.pattern, path));
            let scale = group.map_or(1.0, |g| g.learning_rate_scale);
            LeafSettings {
                trained: *trained && scale != 0.0,
                learning_rate: learning_rate * scale,
                weight_decay: group.and_then(|g| g.weight_decay).unwrap_or(weight_decay),
            }
        };
        named.iter().zip(&trainable).map(setting).collect()
    }

    /// Patterns that match no leaf of `params`: most likely typing mistakes.
    pub fn unused<P: Tree>(&self, params: &P) -> Vec<&str> {
        let named = params.named_leaves();
        let unused = |g: &&Group| !named.iter().any(|(path, _)| matches(&g.pattern, path));
        self.0.iter().filter(unused).map(|g| g.pattern.as_str()).collect()
    }
}

/// Whether `path` fits a pattern in which `*` stands for any run of characters.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((head, rest)) => path.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).any(|i| tail.is_char_boundary(i) && matches(rest, &tail[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        assert!(matches("*.bias", "layers.0.bias"));
        assert!(matches("blocks.*.norm.*", "blocks.3.norm.weight"));
        assert!(!matches("blocks.*.norm", "blocks.3.norm.weight"));
        assert!(matches("*", "anything") && matches("a*c", "abbc") && !matches("a*c", "abbcd"));
    }
}
