//! Contour lines by marching squares.

/// A piece of a contour line, in grid coordinates (column, row).
pub(crate) type Segment = [(f64, f64); 2];

/// Pieces of the line where the bilinear surface through `heights[row * columns + column]` has the value `level`. Cells with a
/// value that is not finite have none.
pub(crate) fn segments(heights: &[f64], columns: usize, rows: usize, level: f64) -> Vec<Segment> {
    let mut pieces = Vec::new();
    for row in 0..rows.saturating_sub(1) {
        for column in 0..columns.saturating_sub(1) {
            let at = |dx: usize, dy: usize| heights[(row + dy) * columns + column + dx];
            // Around the cell: lower left, lower right, upper right, upper left.
            let corners = [at(0, 0), at(1, 0), at(1, 1), at(0, 1)];
            if corners.iter().all(|height| height.is_finite()) {
                cell(corners, level, (column as f64, row as f64), &mut pieces);
            }
        }
    }
    pieces
}

fn cell(corners: [f64; 4], level: f64, (x, y): (f64, f64), pieces: &mut Vec<Segment>) {
    const PLACES: [(f64, f64); 4] = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
    let mut crossings: Vec<(f64, f64)> = Vec::with_capacity(4);
    for side in 0..4 {
        let (a, b) = (corners[side], corners[(side + 1) % 4]);
        if (a >= level) != (b >= level) {
            let share = (level - a) / (b - a);
            let ((x0, y0), (x1, y1)) = (PLACES[side], PLACES[(side + 1) % 4]);
            crossings.push((x + x0 + (x1 - x0) * share, y + y0 + (y1 - y0) * share));
        }
    }
    match crossings[..] {
        [a, b] => pieces.push([a, b]),
        // A saddle: the value in the middle says which corners belong together.
        [a, b, c, d] => {
            let middle = corners.iter().sum::<f64>() / 4.0;
            if (middle >= level) == (corners[0] >= level) {
                pieces.extend([[a, b], [c, d]]);
            } else {
                pieces.extend([[d, a], [b, c]]);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found() {
        let n = 41;
        let at = |i: usize| i as f64 / 20.0 - 1.0;
        let heights: Vec<f64> = (0..n * n).map(|k| at(k % n).powi(2) + at(k / n).powi(2)).collect();
        let pieces = segments(&heights, n, n, 0.25);
        let length: f64 = pieces.iter().map(|[a, b]| (a.0 - b.0).hypot(a.1 - b.1)).sum();
        // Radius 0.5 is ten cells.
        assert!((length - 20.0 * std::f64::consts::PI).abs() < 0.2, "{length}");
        assert!(pieces.iter().flatten().all(|(x, y)| ((x - 20.0).hypot(y - 20.0) - 10.0).abs() < 0.05));
    }

    #[test]
    fn saddles_and_holes() {
        assert_eq!(segments(&[1.0, 0.0, 0.0, 1.0], 2, 2, 0.5).len(), 2);
        assert_eq!(segments(&[1.0, f64::NAN, 0.0, 1.0], 2, 2, 0.5).len(), 0);
        assert_eq!(segments(&[1.0, 1.0, 1.0, 1.0], 2, 2, 0.5).len(), 0);
    }
}
