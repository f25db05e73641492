//! Surrogate optimization as recipes name it.

use serde::{Deserialize, Serialize};

use super::{Inner, Sso, TargetStep};
use crate::config::{OptimizerConfig, OutOfRange, fail};
use crate::{Groups, Schedule};

/// `optimizer = { name = "sso", ... }`; what the keys mean is said at [`Sso`].
///
/// ```toml
/// [method.optimizer]
/// name = "sso"
/// learning_rate = 2.0
/// target_step = { name = "inverse-sqrt" }
/// inner = { name = "lbfgs", memory = 5 }
/// inner_steps = 10
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsoConfig {
    /// `eta`, the step in the space of outputs.
    pub learning_rate: f64,
    /// How the step changes.
    #[serde(default)]
    pub target_step: TargetStep,
    /// The solver between two calls of the oracle.
    #[serde(default)]
    pub inner: Inner,
    /// Its most steps.
    #[serde(default = "inner_steps")]
    pub inner_steps: usize,
    /// Norm of the surrogate's gradient at which it stops.
    #[serde(default = "tolerance")]
    pub tolerance: f64,
    /// The same, as a share of the norm at its start.
    #[serde(default)]
    pub relative_tolerance: f64,
}

fn inner_steps() -> usize {
    20
}
fn tolerance() -> f64 {
    1e-6
}

impl SsoConfig {
    /// The optimizer for losses that are means over the batch.
    pub fn build(&self, learning_rate: Schedule, groups: Groups) -> Sso {
        Sso {
            target_step: self.target_step.clone(),
            inner: self.inner.clone(),
            inner_steps: self.inner_steps,
            tolerance: self.tolerance,
            relative_tolerance: self.relative_tolerance,
            groups,
            ..Sso::new(learning_rate)
        }
    }

    /// Checks every number but the learning rate.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        self.build(Schedule::from(self.learning_rate), Groups::default()).validate()
    }

    /// Checks the numbers, and that nothing around the optimizer expects what it does not do.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn validate_within(&self, whole: &OptimizerConfig) -> Result<(), OutOfRange> {
        self.validate()
            .map_err(|bad| OutOfRange { key: format!("optimizer.{}", bad.key), ..bad })?;
        if self.target_step == TargetStep::DiagonalAdagrad {
            return fail(
                "optimizer.target_step.name",
                "another rule, such as `adagrad`: a training does not tell which example a row is",
            );
        }
        if whole.sam.is_some() {
            return fail("sam", "no SAM around `sso`, which asks for the gradient of outputs");
        }
        if whole.clip.is_some() {
            return fail(
                "clip",
                "no clipping around `sso`, which asks for the gradient of outputs",
            );
        }
        for (i, group) in whole.groups.iter().enumerate() {
            if group.weight_decay.is_some_and(|decay| decay != 0.0) {
                return fail(&format!("groups.{i}.weight_decay"), "0 with `sso`");
            }
            if group.learning_rate_scale != 0.0 && group.learning_rate_scale != 1.0 {
                return fail(&format!("groups.{i}.learning_rate_scale"), "0 or 1 with `sso`");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_effect_around_it_is_refused() {
        let read = |text: &str| -> OptimizerConfig { serde_json::from_str(text).unwrap() };
        let key = |text: &str| read(text).validate().err().map(|bad| bad.key);
        let sso = r#""optimizer": {"name": "sso", "learning_rate": 2"#;
        assert_eq!(key(&format!("{{{sso}}}}}")), None);
        let wrapped = |rest: &str| key(&format!("{{{sso}}}, {rest}}}"));
        assert_eq!(wrapped(r#""sam": {"rho": 0.1}"#).as_deref(), Some("sam"));
        assert_eq!(wrapped(r#""clip": {"norm": 1}"#).as_deref(), Some("clip"));
        let group = r#""groups": [{"pattern": "*", "learning_rate_scale": 0.5}]"#;
        assert_eq!(wrapped(group).as_deref(), Some("groups.0.learning_rate_scale"));
        let inside = |rest: &str| key(&format!("{{{sso}, {rest}}}}}"));
        assert_eq!(inside(r#""inner_steps": 0"#).as_deref(), Some("optimizer.inner_steps"));
        let diagonal = r#""target_step": {"name": "diagonal-adagrad"}"#;
        assert_eq!(inside(diagonal).as_deref(), Some("optimizer.target_step.name"));
        let inner = r#""inner": {"name": "gauss-newton", "damping": -1}"#;
        assert_eq!(inside(inner).as_deref(), Some("optimizer.inner.damping"));
        let unknown = format!(r#"{{{sso}, "inner": {{"name": "gauss-newton", "step": 1}}}}}}"#);
        assert!(serde_json::from_str::<OptimizerConfig>(&unknown).is_err());
    }
}
