//! Set-oriented covers of all critical points.

use std::collections::BTreeSet;

use lisse_array::{DType, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Objectives, ParetoError, nondominated};

/// A collection of boxes that is refined level by level: every box is bisected (along coordinate `level mod n`), and only those
/// stay that some image of a descent map hits (Dellnitz, Schuetze and Hestermeyer, Covering Pareto sets by multilevel subdivision
/// techniques, 2005). The boxes close in on the set of critical points, local ones included. For up to five coordinates.
///
/// ```
/// use lisse_solve::pareto::problems::{Function, Functions};
/// use lisse_solve::pareto::{Cover, GoldsteinDescent};
/// let pair = Functions(vec![Function::Ridge, Function::Bowl]);
/// let descent = GoldsteinDescent::default();
/// let mut cover = Cover::new(&[-2.0, -2.0], &[2.0, 2.0])?;
/// for _ in 0..6 {
///     cover.refine(|x| descent.minimize(&pair, x).ok().map(|found| found.x));
/// }
/// assert!(cover.len() < 10 && cover.boxes().all(|(low, high)| low[1] <= 0.0 && high[1] >= 0.0));
/// # Ok::<(), lisse_solve::pareto::ParetoError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cover {
    lower: Vec<f64>,
    upper: Vec<f64>,
    level: u32,
    /// Places of the boxes in the grid of this level, in lexicographic order.
    places: Vec<Vec<u64>>,
}

impl Cover {
    /// The one box from `lower` to `upper`.
    ///
    /// # Errors
    /// [`ParetoError::Box`] unless there are one to five coordinates with finite bounds that rise.
    pub fn new(lower: &[f64], upper: &[f64]) -> Result<Cover, ParetoError> {
        let n = lower.len();
        if !(1..=5).contains(&n) || upper.len() != n {
            let given =
                format!("bounds for {n} and {} coordinates; give one to five of each", upper.len());
            return Err(ParetoError::Box(given));
        }
        let rising = |(l, u): (&f64, &f64)| l < u && l.is_finite() && u.is_finite();
        if let Some(axis) = lower.iter().zip(upper).position(|pair| !rising(pair)) {
            return Err(ParetoError::Box(format!(
                "coordinate {axis} runs from {} to {}; bounds must be finite and rise",
                lower[axis], upper[axis]
            )));
        }
        Ok(Cover { lower: lower.into(), upper: upper.into(), level: 0, places: vec![vec![0; n]] })
    }

    /// Bisections so far.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Number of boxes.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no box is left.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Lower and upper corners of the boxes.
    pub fn boxes(&self) -> impl Iterator<Item = (Vec<f64>, Vec<f64>)> + '_ {
        self.places.iter().map(|place| (self.point(place, 0.0), self.point(place, 1.0)))
    }

    /// One level: bisects all boxes and keeps those hit by the images of a grid of `3^n` points in each. The map is a
    /// descent; `None` is no image.
    pub fn refine(&mut self, map: impl Fn(&[f64]) -> Option<Vec<f64>> + Sync) {
        let halves = self.bisected();
        let n = self.lower.len();
        let count = 3usize.pow(n as u32);
        let images: Vec<Option<Vec<u64>>> = (0..halves.len() * count)
            .into_par_iter()
            .map(|k| {
                let (place, mut code) = (&halves[k / count], k % count);
                let mut x = vec![0.0; n];
                for (axis, x) in x.iter_mut().enumerate() {
                    let share = (1 + 2 * (code % 3)) as f64 / 6.0;
                    code /= 3;
                    *x = self.coordinate(axis, place[axis] as f64 + share);
                }
                map(&x).and_then(|image| self.place(&image))
            })
            .collect();
        let hit: BTreeSet<Vec<u64>> = images.into_iter().flatten().collect();
        self.places = halves.into_iter().filter(|place| hit.contains(place)).collect();
    }

    /// One level without derivatives: bisects all boxes, draws `samples` points in each and keeps the boxes with a point that no
    /// other drawn point dominates. Finds the globally optimal points only.
    pub fn refine_by_sampling(&mut self, f: &dyn Objectives, samples: usize, stream: &Stream) {
        let halves = self.bisected();
        let n = self.lower.len();
        let stream = stream.at(u64::from(self.level));
        let values: Vec<Vec<f64>> = (0..halves.len() * samples)
            .into_par_iter()
            .map(|k| {
                let place = &halves[k / samples];
                let shares: Vec<f64> = stream.at(k as u64).uniform(&[n], DType::F64).to_vec();
                let along = |axis: usize| self.coordinate(axis, place[axis] as f64 + shares[axis]);
                f.values(&(0..n).map(along).collect::<Vec<f64>>())
            })
            .collect();
        let hit: BTreeSet<usize> = nondominated(&values).iter().map(|k| k / samples).collect();
        let kept = halves.into_iter().enumerate().filter(|(k, _)| hit.contains(k));
        self.places = kept.map(|(_, place)| place).collect();
    }

    /// Both halves of every box; the level is that of the halves.
    fn bisected(&mut self) -> Vec<Vec<u64>> {
        let axis = self.level as usize % self.lower.len();
        self.level += 1;
        let halves = self.places.iter().flat_map(|place| {
            [0, 1].map(|half| {
                let mut place = place.clone();
                place[axis] = 2 * place[axis] + half;
                place
            })
        });
        let mut halves: Vec<Vec<u64>> = halves.collect();
        halves.sort_unstable();
        halves
    }

    /// Boxes along an axis at this level.
    fn count(&self, axis: usize) -> u64 {
        let n = self.lower.len() as u32;
        1 << ((self.level + n - 1 - axis as u32) / n)
    }

    fn coordinate(&self, axis: usize, place: f64) -> f64 {
        let share = place / self.count(axis) as f64;
        self.lower[axis] * (1.0 - share) + self.upper[axis] * share
    }

    fn point(&self, place: &[u64], share: f64) -> Vec<f64> {
        (0..place.len()).map(|axis| self.coordinate(axis, place[axis] as f64 + share)).collect()
    }

    /// The box of a point; boxes hold their lower faces, those at the end also the upper one.
    fn place(&self, x: &[f64]) -> Option<Vec<u64>> {
        let along = |(axis, &x): (usize, &f64)| {
            let (lower, upper) = (self.lower[axis], self.upper[axis]);
            if !(lower..=upper).contains(&x) {
                return None;
            }
            let count = self.count(axis);
            Some((((x - lower) / (upper - lower) * count as f64) as u64).min(count - 1))
        };
        x.iter().enumerate().map(along).collect()
    }
}
