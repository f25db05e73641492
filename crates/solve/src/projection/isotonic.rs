//! Monotone sequences and the permutahedron.

use lisse_array::{Array, DType};

use super::slices::{ascending, monotone_blocks};
use super::{Projected, finite, shape_error};

/// `x_1 <= x_2 <= ... <= x_n` for a vector, by pooling adjacent violators. On its blocks of equal value the projection is the mean.
pub fn isotonic(x: &Array) -> Projected {
    const SET: &str = "isotonic";
    let values = finite(SET, "the point", x)?;
    if x.rank() != 1 {
        return Err(shape_error(SET, "the point", "one axis", x));
    }
    Ok(means(x, &monotone_blocks(&values)))
}

/// The convex hull of all permutations of `w`, nearest to the vector `x`: soft ranks and soft sorting (Blondel and others, 2020,
/// arXiv 2002.08871). Differentiable in both.
pub fn permutahedron(x: &Array, w: &Array) -> Projected {
    const SET: &str = "permutahedron";
    let values = finite(SET, "the point", x)?;
    let weights = finite(SET, "w", w)?;
    if x.rank() != 1 {
        return Err(shape_error(SET, "the point", "one axis", x));
    }
    if w.shape() != x.shape() {
        return Err(shape_error(SET, "w", format!("shape {:?}", x.shape()), w));
    }
    let (order, sorted) = ascending(&values, &weights);
    let excess: Vec<f64> = order.iter().zip(&sorted).map(|(&i, w)| values[i] - w).collect();
    let (w_order, _) = ascending(&weights, &[]);
    let order = indices(&order);
    let sorted_excess = x.index_select(0, &order) - w.index_select(0, &indices(&w_order));
    let pooled = means(&sorted_excess, &monotone_blocks(&excess));
    Ok(x - x.zeros_like().index_add(0, &order, &pooled))
}

fn indices(order: &[usize]) -> Array {
    Array::from_vec::<i64>(order.iter().map(|&i| i as i64).collect(), &[order.len()])
}

/// Each element replaced by the mean of its block; blocks begin at `starts`.
fn means(x: &Array, starts: &[usize]) -> Array {
    let n = x.len();
    if n == 0 {
        return x.clone();
    }
    let ends = starts.iter().skip(1).copied().chain([n]);
    let lengths: Vec<usize> = starts.iter().zip(ends).map(|(s, e)| e - s).collect();
    let blocks: Vec<usize> =
        lengths.iter().enumerate().flat_map(|(k, &l)| std::iter::repeat_n(k, l)).collect();
    let member = indices(&blocks);
    let counts: Vec<f64> = lengths.iter().map(|&l| l as f64).collect();
    let count = Array::from_vec::<f64>(counts, &[lengths.len()]);
    let sums = Array::zeros(&[lengths.len()], DType::F64).index_add(0, &member, x);
    (sums / count).index_select(0, &member)
}
