//! What `media` hands to `features`.

/// Mono sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Amplitudes, full scale at -1..1 (float files may go beyond); always finite.
    pub samples: Vec<f32>,
    /// Samples a second, in Hz.
    pub sample_rate: u32,
}

impl Signal {
    /// Length in seconds.
    pub fn duration(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
}

/// One picture of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFrame {
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// Red, green and blue of each pixel, row by row: `[height, width, 3]`.
    pub pixels: Vec<u8>,
    /// When it is shown, in ticks of the video's time base.
    pub ticks: i64,
}
