//! Channels -> one channel.

use crate::{Error, ErrorKind, Result};

/// How the channels of a file become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// There is only one.
    Mono,
    /// The arithmetic mean of all, whatever their places.
    Mean { channels: usize },
    /// One of them, counted from 0.
    Channel(usize),
}

impl Mix {
    /// `channel` counts from 0; `None` takes the mean. Error: `Config`, when there is no such channel.
    pub fn choose(channel: Option<usize>, channels: usize) -> Result<Self> {
        match channel {
            Some(n) if n >= channels => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "there is no channel {}; the sound has {}",
                    n.saturating_add(1),
                    count(channels, "channel")
                ),
            )),
            Some(n) => Ok(Self::Channel(n)),
            None if channels == 1 => Ok(Self::Mono),
            None => Ok(Self::Mean { channels }),
        }
    }

    /// Appends the mix of interleaved frames `[frames * channels]` to `mono`.
    pub fn append(self, interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
        match self {
            Self::Mono => mono.extend_from_slice(interleaved),
            Self::Channel(n) => mono.extend(interleaved.chunks_exact(channels).map(|frame| frame[n])),
            Self::Mean { channels: 2 } => {
                mono.extend(interleaved.chunks_exact(2).map(|frame| (frame[0] + frame[1]) * 0.5));
            }
            Self::Mean { .. } => {
                let scale = 1.0 / channels as f32;
                mono.extend(
                    interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() * scale),
                );
            }
        }
    }
}

impl std::fmt::Display for Mix {
    /// Channels are named counted from 1, as people do.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mono => f.write_str("mono"),
            Self::Mean { channels } => write!(f, "mean of {channels} channels"),
            Self::Channel(n) => write!(f, "channel {}", n + 1),
        }
    }
}

/// `1 channel`, `2 channels`.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("{n} {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(mix: Mix, interleaved: &[f32], channels: usize) -> Vec<f32> {
        let mut mono = Vec::new();
        mix.append(interleaved, channels, &mut mono);
        mono
    }

    #[test]
    fn the_mean_is_over_all_channels() {
        let mean = Mix::choose(None, 2).unwrap();
        assert_eq!(mixed(mean, &[1.0, 0.0, -0.5, 0.5], 2), [0.5, 0.0]);
        assert_eq!(mean.to_string(), "mean of 2 channels");
        assert_eq!(mixed(Mix::choose(None, 4).unwrap(), &[1.0, 0.0, 0.0, 1.0], 4), [0.5]);
    }

    #[test]
    fn one_channel_can_be_taken_and_is_named_from_one() {
        let mix = Mix::choose(Some(1), 2).unwrap();
        assert_eq!(mixed(mix, &[1.0, 0.0, -0.5, 0.5], 2), [0.0, 0.5]);
        assert_eq!(mix.to_string(), "channel 2");
    }

    #[test]
    fn a_missing_channel_is_an_error_that_says_how_many_there_are() {
        let error = Mix::choose(Some(2), 2).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
        assert_eq!(error.message, "there is no channel 3; the sound has 2 channels");
    }
}
