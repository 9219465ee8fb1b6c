//! Configurations to begin with.

use serde::Deserialize;

use super::TrainConfig;
use crate::Result;

/// Settings that go together; a configuration file and flags are laid over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// A small recurrent network: minutes to learn.
    Small,
    /// Convolutions over time and frequency, then recurrent: for sounds.
    Crnn,
    /// Forward only, for live tags.
    Stream,
    /// Convolutions over each picture, then recurrent: for videos.
    Video,
}

impl Preset {
    pub const ALL: [Self; 4] = [Self::Small, Self::Crnn, Self::Stream, Self::Video];

    /// What it sets; all else has its default.
    pub(super) fn toml(self) -> &'static str {
        match self {
            Self::Small => include_str!("presets/small.toml"),
            Self::Crnn => include_str!("presets/crnn.toml"),
            Self::Stream => include_str!("presets/stream.toml"),
            Self::Video => include_str!("presets/video.toml"),
        }
    }

    /// # Errors
    /// None: the presets are tested.
    pub fn config(self) -> Result<TrainConfig> {
        TrainConfig::from_toml(self.toml())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::InputKind;

    #[test]
    fn every_preset_is_a_valid_configuration_for_clips() {
        for preset in Preset::ALL {
            let config = preset.config().unwrap();
            config.validate().unwrap();
            config.resolved_network().validate().unwrap();
            assert_ne!(config, TrainConfig::default(), "{preset:?}");
        }
        assert_eq!(Preset::Video.config().unwrap().data.stream, Some(InputKind::Video));
        assert!(!Preset::Stream.config().unwrap().network.bidirectional);
    }

    #[test]
    fn a_file_is_laid_over_a_preset_setting_by_setting() {
        let text = "[network]\nhidden_size = 7\n[training]\nepochs = 3";
        let config = TrainConfig::from_toml_over(Some(Preset::Crnn), text).unwrap();
        assert_eq!((config.network.hidden_size, config.training.epochs), (7, 3));
        assert_eq!(config.network.conv_channels, [32, 64, 128]);
        assert!(config.augment.enabled);
        let error = TrainConfig::from_toml_over(Some(Preset::Crnn), "[network]\nhiden_size = 7").unwrap_err();
        assert!(error.message.contains("hidden_size"), "{error}");
    }
}
