//! Colours of a function of two variables, as an image inside an SVG.

use super::Image;
use super::canvas::ZOOM;
use super::picture::Heat;
use super::scale::Scale;

/// Pixels along the longer side of a colour map.
const PIXELS: usize = 240;

/// The map viridis, as polynomials fitted by Matt Zucker (public domain). Evenly bright steps, for any eye, also in grey.
fn viridis(t: f64) -> [u8; 3] {
    const COEFFICIENTS: [[f64; 3]; 7] = [
        [0.277_727_327_223_417_7, 0.005_407_344_544_966_578, 0.334_099_805_335_306_1],
        [0.105_093_043_108_577_4, 1.404_613_529_898_575, 1.384_590_162_594_685],
        [-0.330_861_828_725_556_3, 0.214_847_559_468_213, 0.095_095_163_028_236_59],
        [-4.634_230_498_983_486, -5.799_100_973_351_585, -19.332_440_956_279_87],
        [6.228_269_936_347_081, 14.179_933_366_805_09, 56.690_552_600_681_05],
        [4.776_384_997_670_288, -13.745_145_377_746_01, -65.353_032_633_372_34],
        [-5.435_455_855_934_631, 4.645_852_612_178_535, 26.312_435_249_583_2],
    ];
    let t = t.clamp(0.0, 1.0);
    let channel = |c: usize| COEFFICIENTS.iter().rev().fold(0.0, |sum, row| sum * t + row[c]);
    [0, 1, 2].map(|c| (channel(c).clamp(0.0, 1.0) * 255.0).round() as u8)
}

/// The picture's values in colours, interpolated between grid points; transparent where there is no value.
pub(crate) fn map(picture: &Heat, scale: &Scale) -> Image {
    let (columns, rows) = (picture.xs.len(), picture.ys.len());
    let heights: Vec<f64> = picture.z.iter().map(|z| scale.at(z.0).unwrap_or(f64::NAN)).collect();
    let mut bytes = Vec::with_capacity(PIXELS * PIXELS * 4);
    for j in 0..PIXELS {
        // The first row of an image is at the top, that of the grid at the bottom.
        let y = (1.0 - j as f64 / (PIXELS - 1) as f64) * (rows - 1) as f64;
        for i in 0..PIXELS {
            let x = i as f64 / (PIXELS - 1) as f64 * (columns - 1) as f64;
            bytes.extend(pixel(bilinear(&heights, columns, rows, x, y)));
        }
    }
    square(&bytes, PIXELS, PIXELS)
}

/// All colours, the highest at the top.
pub(crate) fn bar() -> Image {
    let bytes: Vec<u8> =
        (0..PIXELS).flat_map(|j| pixel(1.0 - j as f64 / (PIXELS - 1) as f64)).collect();
    square(&bytes, 1, PIXELS)
}

fn square(bytes: &[u8], width: usize, height: usize) -> Image {
    Image::rgba(width, height, bytes).expect("there are four bytes for each pixel")
}

fn pixel(height: f64) -> [u8; 4] {
    if height.is_nan() {
        return [0; 4];
    }
    let [r, g, b] = viridis(height);
    [r, g, b, 255]
}

fn bilinear(heights: &[f64], columns: usize, rows: usize, x: f64, y: f64) -> f64 {
    let (i, j) = ((x as usize).min(columns - 2), (y as usize).min(rows - 2));
    let (s, t) = (x - i as f64, y - j as f64);
    let at = |di: usize, dj: usize| heights[(j + dj) * columns + i + di];
    // A weight of zero must not let a NaN through.
    let mix =
        |a: f64, b: f64, share: f64| if share == 0.0 { a } else { a * (1.0 - share) + b * share };
    mix(mix(at(0, 0), at(1, 0), s), mix(at(0, 1), at(1, 1), s), t)
}

/// A place on the page, in pixels.
pub(crate) type Corner = (f64, f64);

/// Puts images behind all else of an SVG, each between two corners in page pixels.
pub(crate) fn place(mut svg: String, images: &[(Image, Corner, Corner)]) -> String {
    let at = svg.find('>').map_or(0, |end| end + 1);
    for (image, from, to) in images {
        let [x, y, width, height] =
            [from.0, from.1, to.0 - from.0, to.1 - from.1].map(|v| (v * ZOOM).round());
        svg.insert_str(
            at,
            &format!(
                r#"<image href="{}" x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none"/>"#,
                image.data_uri()
            ),
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_viridis() {
        // Matplotlib: #440154 and #fde725.
        let near = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).all(|(&x, y)| x.abs_diff(y) <= 4);
        assert!(near(viridis(0.0), [0x44, 0x01, 0x54]), "{:?}", viridis(0.0));
        assert!(near(viridis(1.0), [0xfd, 0xe7, 0x25]), "{:?}", viridis(1.0));
    }

    #[test]
    fn values_between_points_are_mixed() {
        let heights = [0.0, 1.0, 2.0, 3.0];
        assert_eq!(bilinear(&heights, 2, 2, 0.5, 0.5), 1.5);
        assert_eq!(bilinear(&heights, 2, 2, 1.0, 1.0), 3.0);
        assert_eq!(bilinear(&[0.0, f64::NAN, 2.0, 3.0], 2, 2, 0.0, 0.5), 1.0);
    }
}
