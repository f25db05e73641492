//! Judging a set of objective vectors.

/// Indices of the points that no other point of the set dominates (at least as good everywhere, better somewhere), ascending.
/// Points with values that are not finite are left out; of equal points all stay.
pub fn nondominated<P: AsRef<[f64]>>(points: &[P]) -> Vec<usize> {
    let finite: Vec<usize> =
        (0..points.len()).filter(|&i| points[i].as_ref().iter().all(|v| v.is_finite())).collect();
    let beaten =
        |i: usize| finite.iter().any(|&j| dominates(points[j].as_ref(), points[i].as_ref()));
    finite.iter().copied().filter(|&i| !beaten(i)).collect()
}

/// Whether `a` is at least as good as `b` everywhere and better somewhere.
pub(crate) fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// Volume that the points dominate below `reference`, by slicing along the last objective: exact in any dimension,
/// `O(n log n)` for two objectives, one power of `n` more for each further one.
///
/// ```
/// use lisse_solve::pareto::hypervolume;
/// assert_eq!(hypervolume(&[[0.0, 2.0], [1.0, 0.0]], &[3.0, 3.0]), 7.0);
/// ```
#[track_caller]
pub fn hypervolume<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> f64 {
    let inside = |p: &&[f64]| p.iter().zip(reference).all(|(p, r)| p < r);
    let points: Vec<&[f64]> = points.iter().map(AsRef::as_ref).filter(inside).collect();
    assert!(
        points.iter().all(|p| p.len() == reference.len()) && !reference.is_empty(),
        "hypervolume: points and reference differ in length"
    );
    sliced(points, reference)
}

fn sliced(mut points: Vec<&[f64]>, reference: &[f64]) -> f64 {
    let last = reference.len() - 1;
    points.sort_by(|a, b| a[last].total_cmp(&b[last]));
    if last == 0 {
        return points.first().map_or(0.0, |p| reference[0] - p[0]);
    }
    if last == 1 {
        let (mut best, mut area) = (reference[0], 0.0);
        for p in points {
            if p[0] < best {
                area += (best - p[0]) * (reference[1] - p[1]);
                best = p[0];
            }
        }
        return area;
    }
    let mut volume = 0.0;
    for k in 0..points.len() {
        let top = points.get(k + 1).map_or(reference[last], |next| next[last]);
        let height = top - points[k][last];
        if height > 0.0 {
            let below = points[..=k].iter().map(|p| &p[..last]).collect();
            volume += height * sliced(below, &reference[..last]);
        }
    }
    volume
}

/// Largest over smallest distance between neighbours along a front of two or more points, given in order: 1 is even.
pub fn spacing_ratio<P: AsRef<[f64]>>(points: &[P]) -> f64 {
    let gap = |pair: &[P]| {
        let squares = pair[0].as_ref().iter().zip(pair[1].as_ref()).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let gaps: Vec<f64> = points.windows(2).map(gap).collect();
    let largest = gaps.iter().copied().fold(f64::NAN, f64::max);
    largest / gaps.iter().copied().fold(f64::NAN, f64::min)
}
