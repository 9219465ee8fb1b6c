//! The training configuration as TOML text, read and written.
//!
//! Known keys, their descriptions and their choices come from the JSON Schema of the configuration types, so
//! there is one list of settings: the types themselves.

use std::ops::Range;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use toml::de::DeTable;

use super::{Preset, TrainConfig};
use crate::error::{Position, suggestion};
use crate::files::read_text;
use crate::model::Builtin;
use crate::{Error, ErrorKind, Result};

/// Largest configuration file that is read, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Width that comments are wrapped to.
const COMMENT_WIDTH: usize = 100;

impl TrainConfig {
    /// Reads, parses and checks a file. Relative paths in it start from the file's own folder.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_over(None, path)
    }

    /// As [`TrainConfig::load`]; what the file leaves out is as the preset has it.
    pub fn load_over(preset: Option<Preset>, path: &Path) -> Result<Self> {
        let text = read_text(path, "a configuration in TOML is due", MAX_CONFIG_BYTES, ErrorKind::Config)?;
        let mut config = Self::from_toml_over(preset, &text).map_err(|e| e.with_path(path))?;
        if let Some(folder) = path.parent() {
            config.paths_mut().for_each(|path| *path = folder.join(&*path));
            let from = &mut config.training.from;
            if !from.is_empty() && Builtin::all().iter().all(|builtin| builtin.name != from) {
                *from = folder.join(&*from).to_string_lossy().into_owned();
            }
        }
        Ok(config)
    }

    /// Parses and checks TOML text; what is left out has its default.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with the line: broken TOML, an unknown section or key (with the nearest known one), a
    /// value of the wrong type or out of range.
    pub fn from_toml(text: &str) -> Result<Self> {
        let (config, table) = parse(text)?;
        for (section, result) in config.validations() {
            // The message starts with the setting's name: that finds its line.
            result.map_err(|e| {
                let name = e.message.split(' ').next().unwrap_or_default();
                let key = table
                    .get(section)
                    .and_then(|v| v.get_ref().as_table())
                    .and_then(|t| t.keys().find(|k| k.get_ref() == name));
                at(text, key.map(|k| k.span()), format!("[{section}] {}", e.message))
            })?;
        }
        Ok(config)
    }

    /// As [`TrainConfig::from_toml`]; what is left out is as the preset has it.
    pub fn from_toml_over(preset: Option<Preset>, text: &str) -> Result<Self> {
        let Some(preset) = preset else { return Self::from_toml(text) };
        // Keys and types; what goes together is checked when all is there.
        parse(text)?;
        let parsed = |text: &str| {
            text.parse::<toml::Table>().map_err(|e| Error::new(ErrorKind::Config, e.message().to_string()))
        };
        let mut all = parsed(preset.toml())?;
        for (section, settings) in parsed(text)? {
            match (all.get_mut(&section), settings) {
                (Some(toml::Value::Table(all)), toml::Value::Table(settings)) => all.extend(settings),
                (_, settings) => {
                    all.insert(section, settings);
                }
            }
        }
        let config: Self = all
            .try_into()
            .map_err(|e: toml::de::Error| Error::new(ErrorKind::Config, e.message().replace('\n', ", ")))?;
        config.validate_sections()?;
        Ok(config)
    }

    /// The whole configuration as TOML text, without comments.
    pub fn to_toml(&self) -> Result<String> {
        plain(self)
    }

    /// The whole configuration as TOML text with what each setting means; it loads back as it is.
    pub fn to_commented_toml(&self) -> Result<String> {
        let schema = Schema::new();
        let mut text = String::new();
        let sections = [
            ("data", plain(&self.data)?),
            ("labels", plain(&self.labels)?),
            ("features", plain(&self.features)?),
            ("video", plain(&self.video)?),
            ("vectors", plain(&self.vectors)?),
            ("network", plain(&self.network)?),
            ("training", plain(&self.training)?),
            ("augment", plain(&self.augment)?),
            ("augment_video", plain(&self.augment_video)?),
        ];
        for (name, values) in sections {
            if !text.is_empty() {
                text.push('\n');
            }
            let section = schema.section(name);
            comment(&mut text, &section.description);
            text += &format!("[{name}]\n");
            for (key, description) in section.keys {
                comment(&mut text, &description);
                let start = format!("{key} = ");
                match values.lines().find(|line| line.starts_with(&start)) {
                    Some(line) => text += line,
                    None => text += &format!("# {key} ="),
                }
                text.push('\n');
            }
        }
        Ok(text)
    }
}

/// The settings and their places, with all keys known and all types right.
fn parse(text: &str) -> Result<(TrainConfig, DeTable<'_>)> {
    let at = |span, message| at(text, span, message);
    let table = DeTable::parse(text).map_err(|e| at(e.span(), e.message().to_string()))?.into_inner();
    check_keys(&table, &Schema::new(), &at)?;
    let config = toml::from_str(text).map_err(|e| at(e.span(), e.message().replace('\n', ", ")))?;
    Ok((config, table))
}

/// An error at a place in the text.
fn at(text: &str, span: Option<Range<usize>>, message: String) -> Error {
    let error = Error::new(ErrorKind::Config, message);
    match span {
        Some(span) => error.at(Position::Line(line_of(text, span.start))),
        None => error,
    }
}

fn plain(value: &impl Serialize) -> Result<String> {
    toml::to_string(value).map_err(|e| {
        Error::new(ErrorKind::Config, format!("the configuration cannot be written as TOML: {e}"))
    })
}

/// Line of the byte at `offset`, counted from 1.
fn line_of(text: &str, offset: usize) -> u64 {
    1 + text.bytes().take(offset).filter(|&b| b == b'\n').count() as u64
}

fn check_keys(
    table: &DeTable,
    schema: &Schema,
    at: &impl Fn(Option<Range<usize>>, String) -> Error,
) -> Result<()> {
    let sections = schema.section_names();
    for (name, value) in table {
        let text = name.get_ref().as_ref();
        if !sections.contains(&text) {
            let home = sections.iter().find(|s| schema.section(s).has(text));
            let hint = match home {
                Some(home) => format!("it belongs in the section [{home}]"),
                None => suggestion(text, &sections),
            };
            return Err(at(Some(name.span()), format!("unknown section or key \"{text}\"; {hint}")));
        }
        let Some(section) = value.get_ref().as_table() else {
            return Err(at(
                Some(name.span()),
                format!("\"{text}\" is a section; write [{text}] above its settings"),
            ));
        };
        let known = schema.section(text);
        for key in section.keys() {
            let word = key.get_ref().as_ref();
            if known.has(word) {
                continue;
            }
            let home = sections.iter().find(|s| schema.section(s).has(word));
            let names: Vec<&str> = known.keys.iter().map(|(k, _)| k.as_str()).collect();
            let hint = match home {
                Some(home) => format!("it belongs in the section [{home}]"),
                None => suggestion(word, &names),
            };
            return Err(at(Some(key.span()), format!("unknown key \"{word}\" in [{text}]; {hint}")));
        }
    }
    Ok(())
}

/// `text` as comment lines.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > COMMENT_WIDTH {
            *out += &line;
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line += word;
    }
    if line.len() > 1 {
        *out += &line;
        out.push('\n');
    }
}

/// What the JSON Schema of [`TrainConfig`] says about its sections.
struct Schema(Value);

/// One section: its description, and its keys with theirs.
struct Section {
    description: String,
    keys: Vec<(String, String)>,
}

impl Section {
    fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(k, _)| k == key)
    }
}

impl Schema {
    fn new() -> Self {
        Self(schemars::schema_for!(TrainConfig).to_value())
    }

    fn section_names(&self) -> Vec<&str> {
        self.properties(&self.0).map(|p| p.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    fn section(&self, name: &str) -> Section {
        let property = &self.0["properties"][name];
        let keys = self
            .properties(self.resolve(property))
            .map(|p| p.iter().map(|(key, schema)| (key.clone(), self.describe(schema))).collect())
            .unwrap_or_default();
        Section { description: text_of(property), keys }
    }

    fn properties<'a>(&self, schema: &'a Value) -> Option<&'a Map<String, Value>> {
        schema["properties"].as_object()
    }

    /// Follows a `$ref` into the definitions.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
            Some(name) => &self.0["$defs"][name],
            None => schema,
        }
    }

    /// A setting's description; where it is one of a closed set, the choices too.
    fn describe(&self, schema: &Value) -> String {
        let target = self.resolve(schema);
        let constants = target["oneOf"].as_array().into_iter().flatten();
        let plain = constants.clone().flat_map(|v| v["enum"].as_array().into_iter().flatten());
        let choices: Vec<&str> = target["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .chain(plain)
            .chain(constants.map(|v| &v["const"]))
            .filter_map(Value::as_str)
            .collect();
        let mut text = text_of(schema);
        if !choices.is_empty() {
            text += &format!(" One of: {}.", choices.join(", "));
        }
        text
    }
}

fn text_of(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::CellKind;

    fn message(text: &str) -> String {
        TrainConfig::from_toml(text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(TrainConfig::from_toml("").unwrap(), TrainConfig::default());
    }

    #[test]
    fn what_is_printed_loads_back_identically() {
        let mut config = TrainConfig::default();
        config.data.manifest = Some("a \"b\"\\c.csv".into());
        config.data.filters = vec!["speaker!=theo".into(), "split=train".into()];
        config.network.cell = CellKind::Lstm;
        config.network.dropout = 0.1;
        config.features.fmax = Some(4000.5);
        config.augment.noise_snr_db = None;
        config.training.seed = i64::MAX as u64;
        config.training.learning_rate = 1.5e-3;
        let mut convolving = config.clone();
        convolving.network.conv_channels = vec![16, 32];
        for config in [TrainConfig::default(), config, convolving] {
            assert_eq!(TrainConfig::from_toml(&config.to_toml().unwrap()).unwrap(), config);
            assert_eq!(TrainConfig::from_toml(&config.to_commented_toml().unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn every_setting_is_printed_with_what_it_means() {
        let text = TrainConfig::default().to_commented_toml().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            assert!(line.len() <= COMMENT_WIDTH, "{line}");
            if line.contains(" =") && !line.starts_with("# ") || line.starts_with('[') {
                assert!(lines[i - 1].starts_with("# "), "{line} has no comment");
            }
        }
        assert!(
            text.contains("lstm_peephole_diagonal")
                && text.contains("One of: last, mean, max, attention, none."),
            "{text}"
        );
        assert!(text.contains("dropout = 0.2\n") && text.contains("\n# directory =\n"), "{text}");
    }

    #[test]
    fn an_unknown_key_is_an_error_with_a_suggestion_and_its_line() {
        assert_eq!(
            message("[network]\ncell = \"gru\"\nhiden_size = 3\n"),
            "unknown key \"hiden_size\" in [network]; did you mean \"hidden_size\"? (line 3)"
        );
        assert_eq!(
            message("[training]\n\nn_mels = 3"),
            "unknown key \"n_mels\" in [training]; it belongs in the section [features] (line 3)"
        );
        assert_eq!(
            message("epochs = 3"),
            "unknown section or key \"epochs\"; it belongs in the section [training] (line 1)"
        );
        assert_eq!(
            message("[netwrok]"),
            "unknown section or key \"netwrok\"; did you mean \"network\"? (line 1)"
        );
        let known =
            "known are data, labels, features, video, vectors, network, training, augment, augment_video";
        assert!(message("[zzz]").contains(known), "{}", message("[zzz]"));
    }

    #[test]
    fn broken_toml_and_wrong_types_name_the_line() {
        assert!(message("[network]\ncell = \n").ends_with("(line 2)"));
        assert!(message("[training]\nseed = 1\nepochs = \"many\"").ends_with("(line 3)"));
        assert!(message("[network]\ncell = \"rnn\"").contains("lstm"));
        assert!(message("data = 3").contains("is a section"));
        assert!(message("[augment]\nnoise_snr_db = [3.0]").contains("noise_snr_db"));
    }

    #[test]
    fn a_value_out_of_range_names_section_setting_and_line() {
        let text = "[data]\n[training]\nseed = 3\nepochs = 0\n";
        assert_eq!(message(text), "[training] epochs is 0; it must be 1 to 100000 (line 4)");
        assert!(message("[network]\nhidden_size = 0").starts_with("[network] hidden_size is 0"));
        assert!(message("[features]\nn_fft = 3").ends_with("(line 2)"));
        assert!(message("[training]\nlearning_rate = nan").contains("learning_rate is NaN"));
    }

    #[test]
    fn a_file_may_begin_with_a_byte_order_mark_and_its_paths_start_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(
            &path,
            "\u{feff}[data]\r\nmanifest = \"m.csv\"\r\n[augment]\nnoise_folder = \"rooms\"",
        )
        .unwrap();
        let config = TrainConfig::load(&path).unwrap();
        assert_eq!(config.data.manifest.unwrap(), folder.path().join("m.csv"));
        assert_eq!(config.augment.noise_folder.unwrap(), folder.path().join("rooms"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        assert_eq!(TrainConfig::load(&path).unwrap_err().kind, ErrorKind::NotFound);
        std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
        assert!(TrainConfig::load(&path).unwrap_err().to_string().contains("not UTF-8"));
        std::fs::write(&path, "[training]\nepochs = 0").unwrap();
        assert_eq!(TrainConfig::load(&path).unwrap_err().path.unwrap(), path);
        std::fs::write(&path, vec![b'#'; MAX_CONFIG_BYTES as usize + 1]).unwrap();
        assert_eq!(TrainConfig::load(&path).unwrap_err().kind, ErrorKind::Limit);
    }
}
