//! What the numbers of a frame are.

use super::MAX_WIDTH;
use crate::{Error, ErrorKind, Result};

/// What a frame of `D = C·H·W + rest` numbers holds: planes first, `[C, H, W]` row by row, then plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameShape {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Plain numbers behind the planes.
    pub rest: usize,
}

impl FrameShape {
    /// Numbers of all planes, `C·H·W`.
    pub fn planes_len(&self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }

    /// Numbers of a frame, `D`.
    #[allow(clippy::len_without_is_empty, reason = "a frame without numbers is an error")]
    pub fn len(&self) -> usize {
        self.planes_len().saturating_add(self.rest)
    }

    /// # Errors
    /// [`ErrorKind::Config`] for a frame without numbers, or with more than [`MAX_WIDTH`].
    pub(super) fn check(&self) -> Result<()> {
        if (1..=MAX_WIDTH).contains(&self.len()) {
            return Ok(());
        }
        let message = format!("{} features a frame: must be 1 to {MAX_WIDTH}", self.len());
        Err(Error::new(ErrorKind::Config, message))
    }
}

/// Plain numbers only.
impl From<usize> for FrameShape {
    fn from(rest: usize) -> Self {
        Self { channels: 0, height: 0, width: 0, rest }
    }
}
