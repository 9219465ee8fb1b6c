//! The network as a file: its weights as safetensors; its shape and its characters as JSON in the file's metadata.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use candle_core::Device;
use percept::files::AtomicFile;
use percept::nn::NetworkConfig;
use percept::{Error, ErrorKind, Result};
use safetensors::SafeTensors;

use super::CharRnn;

/// The entry of the metadata.
const ENTRY: &str = "char_rnn";

pub fn save(model: &CharRnn, path: &Path) -> Result<()> {
    let internal = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, error.to_string());
    let about = (&model.config, model.symbols.iter().collect::<String>());
    let about = serde_json::to_string(&about).map_err(|e| internal(&e))?;
    let metadata = HashMap::from([(ENTRY.to_string(), about)]);
    let bytes = safetensors::serialize(&model.weights, Some(metadata)).map_err(|e| internal(&e))?;
    let mut file = AtomicFile::create(path)?;
    file.write_all(&bytes).map_err(|e| Error::io(&e, path))?;
    file.commit()
}

pub fn load(path: &Path) -> Result<CharRnn> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(&e, path))?;
    parse(&bytes).map_err(|e| e.with_path(path))
}

fn parse(bytes: &[u8]) -> Result<CharRnn> {
    let foreign = || Error::new(ErrorKind::Model, "was not written by this example; make one with --save");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|_| foreign())?;
    let about = metadata.metadata().as_ref().and_then(|entries| entries.get(ENTRY)).ok_or_else(foreign)?;
    let (config, symbols): (NetworkConfig, String) = serde_json::from_str(about).map_err(|_| foreign())?;
    let weights = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
    CharRnn::new(config, symbols.chars().collect(), weights.into_iter().collect())
}
