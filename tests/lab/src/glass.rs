//! Draws a display as a picture that looks like the glass: dots on a lit background, four lamps to
//! the left.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use crate::error::{LabError, Result};
use crate::font::{Dots, dots};
use crate::lcd::{COLUMNS, Glass, ROWS, character};

/// Edge of a dot, and the gap to the next, in pixels.
const DOT: usize = 5;
const GAP: usize = 1;
const PITCH: usize = DOT + GAP;
/// A character cell is five by eight dots and one dot of space.
const CELL_WIDTH: usize = 6 * PITCH;
const CELL_HEIGHT: usize = 9 * PITCH;
/// Lit margin around the characters, and the dark frame around that.
const MARGIN: usize = 18;
const FRAME: usize = 26;
/// Room for the lamps.
const LAMPS: usize = 64;
const LAMP_RADIUS: usize = 11;

type Colour = [u8; 3];
const METAL: Colour = [38, 40, 44];
const LIT: Colour = [24, 62, 196];
const DARK: Colour = [10, 20, 58];
const WHITE: Colour = [236, 243, 255];
const LAMP_OFF: Colour = [64, 66, 68];

struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn new(width: usize, height: usize, colour: Colour) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    fn set(&mut self, x: usize, y: usize, colour: Colour) {
        if x < self.width && y < self.height {
            let at = 3 * (y * self.width + x);
            self.pixels[at..at + 3].copy_from_slice(&colour);
        }
    }

    fn fill(&mut self, left: usize, top: usize, width: usize, height: usize, colour: Colour) {
        for y in top..top + height {
            for x in left..left + width {
                self.set(x, y, colour);
            }
        }
    }

    fn disc(&mut self, centre_x: usize, centre_y: usize, radius: usize, colour: Colour) {
        for y in centre_y - radius..=centre_y + radius {
            for x in centre_x - radius..=centre_x + radius {
                if x.abs_diff(centre_x).pow(2) + y.abs_diff(centre_y).pow(2) <= radius * radius {
                    self.set(x, y, colour);
                }
            }
        }
    }
}

/// Writes the picture of `glass` to `file`.
pub fn write_png(glass: &Glass, file: &Path) -> Result<()> {
    let failed = |source: std::io::Error| LabError::Io {
        what: format!("the picture {} cannot be written", file.display()),
        source,
    };
    let picture = draw(glass);
    let out = BufWriter::new(File::create(file).map_err(failed)?);
    let mut encoder = png::Encoder::new(out, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&picture.pixels)?;
        writer.finish()
    });
    written.map_err(|error| failed(std::io::Error::other(error)))
}

fn draw(glass: &Glass) -> Picture {
    let (width, height) = (COLUMNS * CELL_WIDTH + 2 * MARGIN, ROWS * CELL_HEIGHT + 2 * MARGIN);
    let mut picture = Picture::new(width + 2 * FRAME + LAMPS, height + 2 * FRAME, METAL);
    let background = mix(DARK, LIT, glass.backlight);
    let (left, top) = (FRAME + LAMPS, FRAME);
    picture.fill(left, top, width, height, background);
    let ink = mix([40, 56, 110], WHITE, glass.backlight);
    let rest = mix(background, ink, 6);
    for (row, cells) in glass.cells.iter().enumerate() {
        let y = top + MARGIN + row * CELL_HEIGHT;
        for (column, code) in cells.iter().enumerate() {
            let x = left + MARGIN + column * CELL_WIDTH;
            draw_character(&mut picture, (x, y), pattern(glass, *code), [rest, ink]);
        }
        let lamp = glass.lamps[row];
        let [green, red] = lamp.map(|percent| (u16::from(percent) * 255 / 100) as u8);
        let colour = if lamp == [0, 0] { LAMP_OFF } else { [red.max(30), green.max(30), 30] };
        picture.disc(FRAME + LAMPS / 3, y + CELL_HEIGHT / 2, LAMP_RADIUS, colour);
    }
    picture
}

fn pattern(glass: &Glass, code: u8) -> Dots {
    // Codes 8 to 15 are the own characters once more.
    if code < 16 { glass.own_characters[usize::from(code % 8)] } else { dots(character(code)) }
}

fn draw_character(picture: &mut Picture, (x, y): (usize, usize), dots: Dots, [off, on]: [Colour; 2]) {
    for (row, bits) in dots.iter().enumerate() {
        for column in 0..5 {
            let colour = if bits >> (4 - column) & 1 == 1 { on } else { off };
            picture.fill(x + column * PITCH, y + row * PITCH, DOT, DOT, colour);
        }
    }
}

fn mix(from: Colour, to: Colour, percent: u8) -> Colour {
    let share = u32::from(percent.min(100));
    [0, 1, 2].map(|i| ((u32::from(from[i]) * (100 - share) + u32::from(to[i]) * share) / 100) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_drawn_where_it_stands() {
        let mut glass = Glass { backlight: 100, ..Glass::default() };
        glass.cells[1][2] = b'E';
        let picture = draw(&glass);
        let pixel = |x: usize, y: usize| {
            let at = 3 * (y * picture.width + x);
            [picture.pixels[at], picture.pixels[at + 1], picture.pixels[at + 2]]
        };
        let (x, y) = (FRAME + LAMPS + MARGIN + 2 * CELL_WIDTH, FRAME + MARGIN + CELL_HEIGHT);
        assert_eq!(pixel(x, y), WHITE, "the upper left dot of an E is on");
        assert_ne!(pixel(x + 4 * PITCH, y + PITCH), WHITE, "the one below its right end is not");
    }

    #[test]
    fn the_picture_is_a_png() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("glass.png");
        write_png(&Glass::default(), &file).unwrap();
        assert_eq!(std::fs::read(file).unwrap()[..4], *b"\x89PNG");
    }
}
