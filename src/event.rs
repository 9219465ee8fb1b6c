//! What happens when: the currency between label files, decisions, evaluation and output.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that lasts from `onset` to `offset`, as sed_eval names it: what a label file says, or what a model finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Seconds from the start of the recording.
    pub onset: f64,
    /// Seconds; at least `onset`.
    pub offset: f64,
    pub label: String,
}

impl Event {
    /// Seconds.
    pub fn duration(&self) -> f64 {
        self.offset - self.onset
    }
}

/// An event that a model has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoredEvent {
    pub label: String,
    /// Seconds from the start of the recording: `frame_start` frames of sound; in a video the time of that frame.
    pub onset: f64,
    /// Seconds, likewise of `frame_end`. `onset` itself for a label of which only the onset counts.
    pub offset: f64,
    /// Mean score over its frames, 0 to 1.
    pub score: f32,
    /// Highest score of a frame, 0 to 1.
    pub peak: f32,
    /// The first frame, counted from 0: of sound the model's, of a video its own.
    pub frame_start: u64,
    /// The frame behind the last.
    pub frame_end: u64,
    /// Where it is in a video; absent for sound.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoPlace>,
}

/// Where an event is in a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VideoPlace {
    /// `onset` in ticks of the video's `time_base`.
    pub tick_start: i64,
    /// `offset` in ticks.
    pub tick_end: i64,
    /// Name of the first frame's file, in a directory of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_start: Option<String>,
    /// Name of the last frame's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_end: Option<String>,
}

impl ScoredEvent {
    /// What is compared with the truth.
    pub fn event(&self) -> Event {
        Event { onset: self.onset, offset: self.offset, label: self.label.clone() }
    }
}
