//! Coordinate-wise clipping as a part of an optimizer's settings.

use lisse_array::Tree;

use super::{CoordinateClipped, Target};
use crate::config::{OptimizerConfig, OutOfRange, Rule};
use crate::optimizer::Optimizer;

impl OptimizerConfig {
    /// The clipping's numbers, and that the rule leaves it something to clip.
    pub(crate) fn validate_coordinate_clip(&self) -> Result<(), OutOfRange> {
        let Some(clip) = &self.coordinate_clip else { return Ok(()) };
        clip.validate().map_err(|bad| OutOfRange {
            key: format!("coordinate_clip.{}", bad.key),
            expected: bad.expected,
        })?;
        if clip.target == Target::Gradient {
            return Ok(());
        }
        let expected = match self.optimizer {
            Rule::Lion { sign: true, .. } => {
                "`gradient`, or `optimizer.sign = false`: signs have one size, nothing would be cut"
            }
            Rule::SignSgd { .. } => "`gradient`: signs have one size, nothing would be cut",
            Rule::Adamw { weight_decay, .. } | Rule::Lion { weight_decay, .. }
                if weight_decay > 0.0 =>
            {
                "`gradient`, or `optimizer.weight_decay = 0`: the decay would be cut with the update"
            }
            _ => return Ok(()),
        };
        Err(OutOfRange { key: "coordinate_clip.target".to_string(), expected })
    }

    /// The rule inside the clipping, if there is one.
    pub(crate) fn coordinate_clipped<P: Tree + 'static>(
        &self,
        rule: Box<dyn Optimizer<P>>,
    ) -> Box<dyn Optimizer<P>> {
        match self.coordinate_clip {
            Some(clip) => Box::new(CoordinateClipped { clip, inner: rule }),
            None => rule,
        }
    }
}
