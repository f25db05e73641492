//! Sums of products of arrays, named by the labels of their axes.

use std::collections::BTreeMap;

use crate::Array;
use crate::ops::signed;
use crate::shape::Dims;

/// The axes that `...` stands for are labelled from the right by characters that no subscript can contain.
const ELLIPSIS: u32 = 0xE000;

fn is_ellipsis(label: char) -> bool {
    label as u32 >= ELLIPSIS
}

/// An array with a label for each axis.
struct Operand {
    array: Array,
    labels: Vec<char>,
}

/// The labels of each operand and of the result.
struct Subscripts {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
}

impl Array {
    /// Sum of products over labelled axes (Einstein's convention).
    ///
    /// The subscripts give a letter to each axis of each operand, separated by commas, and after `->` the axes of the result;
    /// labels that do not appear there are summed over. Without `->` the result has, sorted, the labels that appear once. A
    /// label repeated in one operand takes the diagonal. `...` stands for any number of leading axes that broadcast. Axes of
    /// size one broadcast.
    ///
    /// Two operands at a time become one batched matrix product; of more than two, that pair goes first whose product
    /// is smallest compared with its operands.
    ///
    /// ```
    /// use lisse_array::{Array, DType};
    /// let q = Array::ones(&[2, 8, 5, 16], DType::F32);
    /// let k = Array::ones(&[2, 8, 7, 16], DType::F32);
    /// assert_eq!(Array::einsum("bhqd,bhkd->bhqk", &[&q, &k]).shape(), [2, 8, 5, 7]);
    /// let m = Array::eye(3, DType::F32);
    /// assert_eq!(Array::einsum("ii", &[&m]).item(), 3.0);
    /// ```
    #[track_caller]
    pub fn einsum(subscripts: &str, operands: &[&Array]) -> Array {
        let ranks: Vec<usize> = operands.iter().map(|a| a.rank()).collect();
        let parsed =
            parse(subscripts, &ranks).unwrap_or_else(|why| panic!("einsum `{subscripts}`: {why}"));
        let sizes = label_sizes(&parsed, operands)
            .unwrap_or_else(|why| panic!("einsum `{subscripts}`: {why}"));
        let mut pending: Vec<Operand> = operands
            .iter()
            .zip(parsed.inputs)
            .map(|(&array, labels)| Operand { array: array.clone(), labels }.simplify(&sizes))
            .collect();
        while pending.len() > 1 {
            let (i, j) = cheapest_pair(&pending, &parsed.output, &sizes);
            let second = pending.remove(j);
            let first = pending.remove(i);
            let keeps = |label| {
                parsed.output.contains(&label) || pending.iter().any(|o| o.labels.contains(&label))
            };
            let product = contract(first, second, keeps);
            pending.push(product);
        }
        let last = pending.pop().expect("at least one operand");
        last.sum_unless(|label| parsed.output.contains(&label)).ordered(&parsed.output)
    }
}

fn parse(subscripts: &str, ranks: &[usize]) -> Result<Subscripts, String> {
    let compact: String = subscripts.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match compact.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (compact.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != ranks.len() || ranks.is_empty() {
        return Err(format!("{} operands are named, {} are given", terms.len(), ranks.len()));
    }
    let mut inputs = Vec::new();
    for (number, (term, &rank)) in terms.iter().zip(ranks).enumerate() {
        let letters = term.replacen("...", "", 1).len();
        if letters > rank || (letters < rank && !term.contains("...")) {
            return Err(format!("operand {number} has {rank} axes, `{term}` names {letters}"));
        }
        inputs.push(expand_term(term, rank - letters)?);
    }
    let hidden =
        inputs.iter().map(|labels| labels.iter().filter(|&&c| is_ellipsis(c)).count()).max();
    let output = match right {
        Some(term) => expand_term(term, hidden.unwrap_or(0))?,
        None => implicit_output(&inputs, hidden.unwrap_or(0)),
    };
    for (i, label) in output.iter().enumerate() {
        if output[..i].contains(label) {
            return Err(format!("the result names {label} twice"));
        }
        if !inputs.iter().any(|labels| labels.contains(label)) {
            return Err(format!("the result names {label}, which no operand has"));
        }
    }
    Ok(Subscripts { inputs, output })
}

/// The labels of a term whose `...`, if any, stands for `hidden` axes.
fn expand_term(term: &str, hidden: usize) -> Result<Vec<char>, String> {
    let (before, after) = term.split_once("...").unwrap_or((term, ""));
    let hidden = if term.contains("...") { hidden } else { 0 };
    if let Some(c) = before.chars().chain(after.chars()).find(|c| !c.is_ascii_alphabetic()) {
        return Err(format!("`{c}` is not a letter"));
    }
    Ok(before.chars().chain(ellipsis_labels(hidden)).chain(after.chars()).collect())
}

fn ellipsis_labels(count: usize) -> impl Iterator<Item = char> {
    (0..count as u32).rev().filter_map(|i| char::from_u32(ELLIPSIS + i))
}

/// The axes of `...`, then the letters that appear once, sorted.
fn implicit_output(inputs: &[Vec<char>], hidden: usize) -> Vec<char> {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    inputs
        .iter()
        .flatten()
        .filter(|&&c| !is_ellipsis(c))
        .for_each(|&c| *counts.entry(c).or_default() += 1);
    let single = counts.into_iter().filter(|&(_, count)| count == 1).map(|(label, _)| label);
    ellipsis_labels(hidden).chain(single).collect()
}

/// The size of each label.
fn label_sizes(parsed: &Subscripts, operands: &[&Array]) -> Result<BTreeMap<char, usize>, String> {
    let mut sizes: BTreeMap<char, usize> = BTreeMap::new();
    for (labels, array) in parsed.inputs.iter().zip(operands) {
        for (i, (&label, &size)) in labels.iter().zip(array.shape()).enumerate() {
            let known = sizes.entry(label).or_insert(size);
            let in_one = labels[..i].iter().position(|&other| other == label);
            let same_diagonal = in_one.is_none_or(|first| array.shape()[first] == size);
            if !same_diagonal || (*known != size && *known != 1 && size != 1) {
                let what = if is_ellipsis(label) {
                    "an axis of `...`".to_string()
                } else {
                    label.to_string()
                };
                let shapes: Vec<&[usize]> = operands.iter().map(|a| a.shape()).collect();
                return Err(format!("sizes of {what} differ in {shapes:?}"));
            }
            if *known == 1 {
                *known = size;
            }
        }
    }
    Ok(sizes)
}

/// The pair whose product is smallest compared with its operands; among equals the one with fewest multiplications.
fn cheapest_pair(
    pending: &[Operand],
    output: &[char],
    sizes: &BTreeMap<char, usize>,
) -> (usize, usize) {
    let volume = |labels: &[char]| labels.iter().map(|l| sizes[l] as f64).product::<f64>();
    let mut best = (f64::INFINITY, f64::INFINITY);
    let mut pair = (0, 1);
    for i in 0..pending.len() {
        for j in i + 1..pending.len() {
            let (a, b) = (&pending[i].labels, &pending[j].labels);
            let union: Vec<char> =
                a.iter().chain(b.iter().filter(|l| !a.contains(l))).copied().collect();
            let elsewhere = |label: &char| {
                output.contains(label)
                    || pending
                        .iter()
                        .enumerate()
                        .any(|(k, o)| k != i && k != j && o.labels.contains(label))
            };
            let kept: Vec<char> = union.iter().copied().filter(elsewhere).collect();
            let cost = (volume(&kept) - volume(a) - volume(b), volume(&union));
            if cost < best {
                (best, pair) = (cost, (i, j));
            }
        }
    }
    pair
}

impl Operand {
    /// Takes the diagonal of repeated labels, and drops axes of size one that only broadcast.
    fn simplify(mut self, sizes: &BTreeMap<char, usize>) -> Operand {
        while let Some((i, j)) = self.repeated() {
            let label = self.labels.remove(j);
            self.labels.remove(i);
            self.labels.push(label);
            self.array = self.array.diagonal(i as isize, j as isize);
        }
        let broadcast = |i: &usize| self.array.shape()[*i] == 1 && sizes[&self.labels[*i]] != 1;
        let dropped: Dims = (0..self.labels.len()).filter(broadcast).collect();
        self.array = self.array.drop_axes(&dropped);
        let mut position = 0;
        self.labels.retain(|_| {
            position += 1;
            !dropped.contains(&(position - 1))
        });
        self
    }

    fn repeated(&self) -> Option<(usize, usize)> {
        (1..self.labels.len()).find_map(|j| {
            self.labels[..j].iter().position(|l| *l == self.labels[j]).map(|i| (i, j))
        })
    }

    /// Sums over the labels that are not kept.
    fn sum_unless(self, keeps: impl Fn(char) -> bool) -> Operand {
        let axes: Vec<isize> = (0..self.labels.len())
            .filter(|&i| !keeps(self.labels[i]))
            .map(|i| i as isize)
            .collect();
        if axes.is_empty() {
            return self;
        }
        let labels = self.labels.into_iter().filter(|&l| keeps(l)).collect();
        Operand { array: self.array.sum(&axes), labels }
    }

    /// The array with its axes in the order of the labels.
    fn ordered(&self, labels: &[char]) -> Array {
        let position =
            |label| self.labels.iter().position(|l| l == label).expect("the operand has the label");
        let order: Dims = labels.iter().map(position).collect();
        if order.iter().copied().eq(0..self.labels.len()) {
            return self.array.clone();
        }
        self.array.permute(&signed(&order))
    }
}

/// Sizes of leading axes of an array, then of groups of the axes that follow, each merged into one.
fn merged(array: &Array, lead: usize, groups: [usize; 2]) -> Array {
    let shape = array.shape();
    let mut target = Dims::from(&shape[..lead]);
    target.push(shape[lead..lead + groups[0]].iter().product());
    target.push(shape[lead + groups[0]..].iter().product());
    debug_assert_eq!(lead + groups[0] + groups[1], shape.len());
    array.reshape(&signed(&target))
}

/// The product of two operands, summed over the labels that are not kept.
fn contract(a: Operand, b: Operand, keeps: impl Fn(char) -> bool) -> Operand {
    let a = a.sum_unless(|l| keeps(l) || b.labels.contains(&l));
    let b = b.sum_unless(|l| keeps(l) || a.labels.contains(&l));
    let (shared, left): (Vec<char>, Vec<char>) =
        a.labels.iter().partition(|l| b.labels.contains(l));
    let right: Vec<char> = b.labels.iter().copied().filter(|l| !a.labels.contains(l)).collect();
    let (batch, summed): (Vec<char>, Vec<char>) = shared.into_iter().partition(|&l| keeps(l));
    let labels = [&batch[..], &left, &right].concat();
    if summed.is_empty() {
        let (x, y) =
            (a.ordered(&[&batch[..], &left].concat()), b.ordered(&[&batch[..], &right].concat()));
        let mut room = signed(x.shape());
        room.extend(std::iter::repeat_n(1, right.len()));
        let mut below = signed(y.shape());
        below.insert_many(batch.len(), std::iter::repeat_n(1, left.len()));
        return Operand { array: x.reshape(&room) * y.reshape(&below), labels };
    }
    let x = a.ordered(&[&batch[..], &left, &summed].concat());
    if left.is_empty() && right.is_empty() && !batch.is_empty() {
        // Many dot products: one pass is better than many tiny matrix products.
        let y = b.ordered(&[&batch[..], &summed].concat());
        let axes: Vec<isize> = (batch.len()..x.rank()).map(|i| i as isize).collect();
        return Operand { array: (x * y).sum(&axes), labels };
    }
    let y = b.ordered(&[&batch[..], &summed, &right].concat());
    let mut shape = Dims::from(&x.shape()[..batch.len() + left.len()]);
    shape.extend_from_slice(&y.shape()[batch.len() + summed.len()..]);
    let x = merged(&x, batch.len(), [left.len(), summed.len()]);
    let y = merged(&y, batch.len(), [summed.len(), right.len()]);
    Operand { array: x.matmul(&y).reshape(&signed(&shape)), labels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, check};

    fn sample(shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        Array::from_vec((0..count).map(|i| (i as f64 * 0.9).sin()).collect::<Vec<_>>(), shape)
    }

    /// The definition: a loop over all labels. Only letters.
    fn naive(subscripts: &str, operands: &[&Array]) -> Vec<f64> {
        let (left, right) = subscripts.split_once("->").unwrap();
        let terms: Vec<Vec<char>> = left.split(',').map(|t| t.chars().collect()).collect();
        let mut sizes: BTreeMap<char, usize> = BTreeMap::new();
        for (term, array) in terms.iter().zip(operands) {
            term.iter().zip(array.shape()).for_each(|(&l, &n)| {
                sizes.insert(l, n);
            });
        }
        let order: Vec<char> = sizes.keys().copied().collect();
        let flat = |labels: &[char], at: &BTreeMap<char, usize>| {
            labels.iter().fold(0, |i, l| i * sizes[l] + at[l])
        };
        let right: Vec<char> = right.chars().collect();
        let values: Vec<Vec<f64>> = operands.iter().map(|a| a.to_f64_vec()).collect();
        let mut out = vec![0.0; right.iter().map(|l| sizes[l]).product()];
        for mut i in 0..order.iter().map(|l| sizes[l]).product::<usize>() {
            let mut at = BTreeMap::new();
            for label in order.iter().rev() {
                at.insert(*label, i % sizes[label]);
                i /= sizes[label];
            }
            let product: f64 =
                terms.iter().zip(&values).map(|(term, v)| v[flat(term, &at)]).product();
            out[flat(&right, &at)] += product;
        }
        out
    }

    #[track_caller]
    fn agrees(subscripts: &str, shapes: &[&[usize]]) {
        let operands: Vec<Array> = shapes.iter().map(|s| sample(s)).collect();
        let operands: Vec<&Array> = operands.iter().collect();
        let found = Array::einsum(subscripts, &operands).to_vec::<f64>();
        let expected = naive(subscripts, &operands);
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-12, "{subscripts}: {f} {e}");
        }
    }

    #[test]
    fn values_are_those_of_the_definition() {
        agrees("ij->ji", &[&[2, 3]]);
        agrees("ij->", &[&[2, 3]]);
        agrees("ijk->ki", &[&[2, 3, 4]]);
        agrees("ii->i", &[&[3, 3]]);
        agrees("iji->j", &[&[3, 2, 3]]);
        agrees("iii->", &[&[3, 3, 3]]);
        agrees("ij,jk->ik", &[&[2, 3], &[3, 4]]);
        agrees("ij,kj->ki", &[&[2, 3], &[4, 3]]);
        agrees("i,j->ij", &[&[2], &[3]]);
        agrees("i,i->", &[&[4], &[4]]);
        agrees("bi,bi->b", &[&[3, 4], &[3, 4]]);
        agrees("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 2]]);
        agrees("bhqd,bhkd->bhqk", &[&[2, 2, 3, 4], &[2, 2, 5, 4]]);
        agrees("ijk,jil->kl", &[&[2, 3, 4], &[3, 2, 2]]);
        agrees("ijx,jk->ik", &[&[2, 3, 2], &[3, 4]]);
        agrees("ij,ij->ji", &[&[2, 3], &[2, 3]]);
        agrees("bi,ij,bj->b", &[&[5, 2], &[2, 3], &[5, 3]]);
        agrees("ab,bc,cd,de->ae", &[&[2, 5], &[5, 3], &[3, 4], &[4, 2]]);
        agrees("i,j,k->kij", &[&[2], &[3], &[2]]);
        agrees("iij,jk->ik", &[&[2, 2, 3], &[3, 2]]);
        agrees(",ij->ij", &[&[], &[2, 3]]);
    }

    #[test]
    fn the_result_may_be_implied() {
        let (a, b) = (sample(&[2, 3]), sample(&[3, 4]));
        let product = a.matmul(&b).to_vec::<f64>();
        assert_eq!(Array::einsum("ij, jk", &[&a, &b]).to_vec::<f64>(), product);
        assert_eq!(Array::einsum("ba", &[&a]).to_vec::<f64>(), a.t().to_vec::<f64>());
        assert_eq!(Array::einsum("ii", &[&Array::eye(3, DType::F64)]).item(), 3.0);
    }

    #[test]
    fn an_ellipsis_stands_for_leading_axes_that_broadcast() {
        let (a, b) = (sample(&[5, 1, 2, 3]), sample(&[4, 3, 2]));
        let expected = a.matmul(&b).to_vec::<f64>();
        let found = Array::einsum("...ij,...jk->...ik", &[&a, &b]);
        assert_eq!(found.shape(), [5, 4, 2, 2]);
        for (f, e) in found.to_vec::<f64>().iter().zip(&expected) {
            assert!((f - e).abs() < 1e-14);
        }
        assert_eq!(Array::einsum("...ij,...jk", &[&a, &b]).shape(), [5, 4, 2, 2]);
        assert_eq!(Array::einsum("...i->i...", &[&b]).shape(), [2, 4, 3]);
        assert_eq!(Array::einsum("...->", &[&b]).shape(), [0; 0]);
    }

    #[test]
    fn axes_of_size_one_broadcast() {
        let (a, b) = (sample(&[2, 1]), sample(&[3, 4]));
        let expected = (&a * b.sum(&[0]).sum_all() * 1.0).sum(&[1]).to_vec::<f64>();
        let found = Array::einsum("ij,jk->i", &[&a, &b]).to_vec::<f64>();
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-13));
    }

    #[test]
    fn integers_and_halves_multiply_too() {
        let a = Array::arange(0.0, 4.0, 1.0, DType::I64).reshape(&[2, 2]);
        assert_eq!(Array::einsum("ij,jk->ik", &[&a, &a]).to_vec::<i64>(), [2, 3, 6, 11]);
        let h = a.cast(DType::F16);
        assert_eq!(Array::einsum("ij,ij->i", &[&h, &h]).to_f64_vec(), [1.0, 13.0]);
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let pair = (sample(&[2, 3, 2]), sample(&[3, 2]));
        let f = |(x, y): &(Array, Array)| Array::einsum("ijk,jl->kil", &[x, y]).sin();
        check::gradient(f, &pair, 3).unwrap();
        let f = |(x, y): &(Array, Array)| Array::einsum("iji,jk,jk->j", &[x, y, y]);
        check::gradient(f, &pair, 2).unwrap();
    }

    #[test]
    #[should_panic(expected = "einsum `ij,jk->ik`: sizes of j differ in [[2, 3], [4, 5]]")]
    fn sizes_that_differ_are_named() {
        Array::einsum("ij,jk->ik", &[&sample(&[2, 3]), &sample(&[4, 5])]);
    }

    #[test]
    #[should_panic(expected = "einsum `ijk->i`: operand 0 has 2 axes, `ijk` names 3")]
    fn ranks_that_differ_are_named() {
        Array::einsum("ijk->i", &[&sample(&[2, 3])]);
    }

    #[test]
    fn malformed_subscripts_are_explained() {
        let why = |s: &str, ranks: &[usize]| parse(s, ranks).err().unwrap();
        assert_eq!(why("ij,jk->ik", &[2]), "2 operands are named, 1 are given");
        assert_eq!(why("i1->i", &[2]), "`1` is not a letter");
        assert_eq!(why("ij->ii", &[2]), "the result names i twice");
        assert_eq!(why("ij->k", &[2]), "the result names k, which no operand has");
    }
}
