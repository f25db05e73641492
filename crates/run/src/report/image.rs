//! Pixel images, kept as PNG.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A pixel image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The PNG file in base64.
    png: String,
}

impl Image {
    /// Grey values from 0 (black) to 1 (white), row by row; values outside are clamped, NaN is black.
    pub fn gray(width: usize, height: usize, values: &[f64]) -> Result<Image, Error> {
        let bytes: Vec<u8> = values.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
        encode(width, height, &bytes, png::ColorType::Grayscale)
    }

    /// Red, green and blue bytes, pixel by pixel, row by row.
    pub fn rgb(width: usize, height: usize, bytes: &[u8]) -> Result<Image, Error> {
        encode(width, height, bytes, png::ColorType::Rgb)
    }

    /// Red, green, blue and opacity bytes, pixel by pixel, row by row.
    pub fn rgba(width: usize, height: usize, bytes: &[u8]) -> Result<Image, Error> {
        encode(width, height, bytes, png::ColorType::Rgba)
    }

    /// For the `src` of an image element.
    pub(crate) fn data_uri(&self) -> String {
        format!("data:image/png;base64,{}", self.png)
    }
}

fn encode(width: usize, height: usize, bytes: &[u8], colour: png::ColorType) -> Result<Image, Error> {
    let wanted = width * height * colour.samples();
    if width == 0 || height == 0 || bytes.len() != wanted {
        return Err(Error::message(format!(
            "an image of {width} by {height} pixels with {} values each needs {wanted} values, found {}",
            colour.samples(),
            bytes.len()
        )));
    }
    let (width, height) = (width as u32, height as u32);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(bytes))
        .map_err(Error::other)?;
    Ok(Image { width, height, png: STANDARD.encode(&file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_become_png() {
        let image = Image::gray(2, 1, &[0.0, 2.0]).unwrap();
        assert!(image.data_uri().starts_with("data:image/png;base64,iVBORw0KGgo"));
        let error = Image::rgb(2, 2, &[0; 5]).unwrap_err().to_string();
        assert_eq!(error, "an image of 2 by 2 pixels with 3 values each needs 12 values, found 5");
        assert!(Image::gray(0, 3, &[]).is_err());
    }
}
