//! NSGA-II, as a baseline that needs values only.

use lisse_array::{DType, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::error::require;
use super::front::dominates;
use super::{Objectives, ParetoError};

/// NSGA-II (Deb, Pratap, Agarwal and Meyarivan, 2002): tournaments by rank and crowding, simulated binary crossover, polynomial mutation, within bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Genetic {
    /// Individuals, an even number.
    pub population: usize,
    /// Chance of a crossover.
    pub crossover: f64,
    /// Index of the crossover's law; large for children near their parents.
    pub crossover_index: f64,
    /// Index of the mutation's law.
    pub mutation_index: f64,
    /// Bounds.
    pub lower: Vec<f64>,
    /// Bounds.
    pub upper: Vec<f64>,
    /// Seed.
    pub seed: u64,
}

/// A population.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// Points.
    pub points: Vec<Vec<f64>>,
    /// Their values.
    pub values: Vec<Vec<f64>>,
    /// Generations so far.
    pub generation: u64,
}

impl Genetic {
    /// The usual settings within these bounds.
    pub fn new(population: usize, lower: &[f64], upper: &[f64], seed: u64) -> Genetic {
        Genetic {
            population,
            crossover: 0.9,
            crossover_index: 15.0,
            mutation_index: 20.0,
            lower: lower.into(),
            upper: upper.into(),
            seed,
        }
    }

    /// Random points.
    ///
    /// # Errors
    /// [`ParetoError`] for an odd or empty population or bounds that do not fit.
    pub fn start(&self, f: &dyn Objectives) -> Result<Population, ParetoError> {
        let even = self.population >= 2 && self.population.is_multiple_of(2);
        require(even, "population", self.population as f64, "an even number, at least 2")?;
        for bound in [&self.lower, &self.upper] {
            if bound.len() != f.dim() {
                return Err(ParetoError::Dimension { given: bound.len(), expected: f.dim() });
            }
        }
        let n = f.dim();
        let draws =
            Stream::new(self.seed).child("start").uniform(&[self.population * n], DType::F64);
        let points: Vec<Vec<f64>> = draws
            .to_vec::<f64>()
            .chunks_exact(n)
            .map(|row| {
                (0..n).map(|i| self.lower[i] + row[i] * (self.upper[i] - self.lower[i])).collect()
            })
            .collect();
        let values = points.par_iter().map(|x| f.values(x)).collect();
        Ok(Population { points, values, generation: 0 })
    }

    /// One generation: as many children as individuals, of which the better half of all stays.
    pub fn advance(&self, f: &dyn Objectives, all: &mut Population) {
        let stream = Stream::new(self.seed).child("generation").at(all.generation);
        let order = ranked(&all.values);
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(k, &i)| place[i] = k);
        let children: Vec<Vec<f64>> = (0..self.population / 2)
            .flat_map(|pair| {
                let draw = stream.at(pair as u64);
                let rivals: Vec<f64> = draw.child("rivals").uniform(&[4], DType::F64).to_vec();
                let pick =
                    |k: usize| ((rivals[k] * place.len() as f64) as usize).min(place.len() - 1);
                let winner = |a: usize, b: usize| if place[a] <= place[b] { a } else { b };
                let (a, b) = (winner(pick(0), pick(1)), winner(pick(2), pick(3)));
                self.children(&all.points[a], &all.points[b], &draw)
            })
            .collect();
        all.values.extend(children.par_iter().map(|x| f.values(x)).collect::<Vec<_>>());
        all.points.extend(children);
        let kept = ranked(&all.values);
        let kept = &kept[..self.population];
        all.points = kept.iter().map(|&i| all.points[i].clone()).collect();
        all.values = kept.iter().map(|&i| all.values[i].clone()).collect();
        all.generation += 1;
    }

    fn children(&self, a: &[f64], b: &[f64], stream: &Stream) -> [Vec<f64>; 2] {
        let n = a.len();
        let draws: Vec<f64> = stream.child("children").uniform(&[6 * n + 1], DType::F64).to_vec();
        let (mut c, mut d) = (a.to_vec(), b.to_vec());
        let cross = draws[6 * n] < self.crossover;
        for i in 0..n {
            let (u, both) = (draws[i], draws[n + i] < 0.5);
            if cross && both {
                let power = 1.0 / (self.crossover_index + 1.0);
                let beta =
                    if u < 0.5 { (2.0 * u).powf(power) } else { (0.5 / (1.0 - u)).powf(power) };
                (c[i], d[i]) = (
                    0.5 * ((1.0 + beta) * a[i] + (1.0 - beta) * b[i]),
                    0.5 * ((1.0 - beta) * a[i] + (1.0 + beta) * b[i]),
                );
            }
            for (k, child) in [&mut c, &mut d].into_iter().enumerate() {
                let (chance, u) = (draws[(2 + k) * n + i], draws[(4 + k) * n + i]);
                if chance < 1.0 / n as f64 {
                    let power = 1.0 / (self.mutation_index + 1.0);
                    let delta = if u < 0.5 {
                        (2.0 * u).powf(power) - 1.0
                    } else {
                        1.0 - (2.0 * (1.0 - u)).powf(power)
                    };
                    child[i] += delta * (self.upper[i] - self.lower[i]);
                }
                child[i] = child[i].clamp(self.lower[i], self.upper[i]);
            }
        }
        [c, d]
    }
}

/// All indices, best first: by the front they are on, then by how far their neighbours on it are.
fn ranked(values: &[Vec<f64>]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..values.len()).collect();
    let mut order = Vec::with_capacity(values.len());
    while !left.is_empty() {
        let beaten = |i: usize| left.iter().any(|&j| dominates(&values[j], &values[i]));
        let (rest, mut front): (Vec<usize>, Vec<usize>) = left.iter().partition(|&&i| beaten(i));
        if front.is_empty() {
            // Only with NaN: nothing more to rank by.
            order.extend(rest);
            break;
        }
        let crowding = crowding(values, &front);
        let mut keyed: Vec<(usize, f64)> = front.drain(..).zip(crowding).collect();
        keyed.sort_by(|a, b| b.1.total_cmp(&a.1));
        order.extend(keyed.into_iter().map(|(i, _)| i));
        left = rest;
    }
    order
}

/// Sum over objectives of the distance between the neighbours on either side, infinite at the ends.
fn crowding(values: &[Vec<f64>], front: &[usize]) -> Vec<f64> {
    let mut distance = vec![0.0; front.len()];
    for objective in 0..values[front[0]].len() {
        let at = |k: usize| values[front[k]][objective];
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|&a, &b| at(a).total_cmp(&at(b)));
        let (first, last) = (order[0], order[order.len() - 1]);
        let range = (at(last) - at(first)).max(f64::MIN_POSITIVE);
        (distance[first], distance[last]) = (f64::INFINITY, f64::INFINITY);
        for three in order.windows(3) {
            distance[three[1]] += (at(three[2]) - at(three[0])) / range;
        }
    }
    distance
}
