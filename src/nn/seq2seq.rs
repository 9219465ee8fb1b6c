//! Many-to-many where input and output are of different lengths: an encoder that reads, a decoder that writes.
//!
//! ```text
//! m_1 .. m_S = bidirectional RNN over the source's embeddings            the memory (Bahdanau et al. 2015)
//! s_0        = tanh(W_b [h→_S; h←_1] + b_b)                              the bridge, for each layer
//! s_t        = RNN(s_{t-1}, embedding of y_{t-1})                        the decoder (Sutskever et al. 2014)
//! context_t  = attention of s_t over m_1 .. m_S
//! a_t        = tanh(W_c [context_t; s_t])                                (Luong et al. 2015, eq. 5)
//! logits_t   = W_y a_t + b_y
//! ```
//!
//! As the decoder's recurrence does not see the context, all steps of a known target are one pass of the fused layers.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use candle_nn::ops::log_softmax;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::attention::{Attended, Attention, Score};
use super::cell::CellKind;
use super::decode::{BeamSearch, Hypothesis};
use super::dropout::dropout;
use super::kernels::Isa;
use super::rnn::{Rnn, RnnState};
use super::{MAX_WIDTH, NetworkConfig, Weights};
use crate::{Error, ErrorKind, Result};

/// The shape of an [`EncoderDecoder`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderDecoderConfig {
    /// Symbols that the source has, and the target: 1 to 65536.
    pub source_symbols: usize,
    pub target_symbols: usize,
    /// Numbers that stand for a symbol.
    pub embedding_size: usize,
    pub cell: CellKind,
    /// Units of the decoder per layer, and of each direction of the encoder.
    pub hidden_size: usize,
    /// Layers of the encoder, and of the decoder.
    pub num_layers: usize,
    /// How the attention scores.
    pub score: Score,
    /// Probability of dropping an embedding's value, an activation between layers, and one of `a_t`, in training only.
    pub dropout: f32,
}

/// Encoder, attention and decoder.
#[derive(Debug, Clone)]
pub struct EncoderDecoder {
    config: EncoderDecoderConfig,
    source_embedding: Tensor,
    target_embedding: Tensor,
    encoder: Rnn,
    decoder: Rnn,
    /// Weight and bias for h and, where the cell has a memory, for c.
    bridge: Vec<(Tensor, Tensor)>,
    attention: Attention,
    combine: Tensor,
    head: (Tensor, Tensor),
}

/// What the encoder has read.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `[B, S, 2H]`
    pub memory: Tensor,
    /// Symbols of each source, at most S.
    pub lengths: Vec<usize>,
    /// The decoder's state before its first step.
    pub state: RnnState,
}

/// What the decoder gives.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// After each symbol of the target, those of the next one, `[B, T, K]`.
    pub logits: Tensor,
    /// How much of each symbol of the source was looked at, `[B, T, S]`.
    pub attention: Tensor,
    /// The decoder's state behind each target's last symbol.
    pub state: RnnState,
}

impl EncoderDecoderConfig {
    /// Checks ranges; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        self.rnn(true).validate()?;
        let sizes = [
            ("source_symbols", self.source_symbols),
            ("target_symbols", self.target_symbols),
            ("embedding_size", self.embedding_size),
        ];
        for (name, size) in sizes {
            if !(1..=MAX_WIDTH).contains(&size) {
                let message = format!("{name} is {size}; it must be 1 to {MAX_WIDTH}");
                return Err(Error::new(ErrorKind::Config, message));
            }
        }
        if self.score == Score::Dot {
            let message =
                "score is dot, but the memory is twice as wide as the decoder; take general or additive";
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(())
    }

    fn rnn(&self, bidirectional: bool) -> NetworkConfig {
        NetworkConfig {
            cell: self.cell,
            hidden_size: self.hidden_size,
            num_layers: self.num_layers,
            bidirectional,
            dropout: self.dropout,
            ..NetworkConfig::default()
        }
    }

    /// Names, shapes and fans of all weights; a fan is over how many values a sum runs. An embedding is no sum.
    fn weights(&self) -> Vec<(String, Vec<usize>, usize)> {
        let &Self { source_symbols, target_symbols, embedding_size, hidden_size: hidden, .. } = self;
        let mut weights = Vec::new();
        let mut add = |name: String, shape: Vec<usize>, fan| weights.push((name, shape, fan));
        add("source_embedding.weight".into(), vec![source_symbols, embedding_size], 1);
        add("target_embedding.weight".into(), vec![target_symbols, embedding_size], 1);
        for (prefix, bidirectional) in [("encoder", true), ("decoder", false)] {
            for (name, shape) in Rnn::shapes(&self.rnn(bidirectional), embedding_size) {
                add(format!("{prefix}.{name}"), shape, hidden);
            }
        }
        for name in &["bridge", "bridge_c"][..1 + usize::from(self.cell.has_memory())] {
            add(format!("{name}.weight"), vec![hidden, 2 * hidden], 2 * hidden);
            add(format!("{name}.bias"), vec![hidden], 2 * hidden);
        }
        for (name, shape) in self.score.shapes(hidden, 2 * hidden) {
            let fan = shape[1];
            add(format!("attention.{name}"), shape, fan);
        }
        add("combine.weight".into(), vec![hidden, 3 * hidden], 3 * hidden);
        add("head.weight".into(), vec![target_symbols, hidden], hidden);
        add("head.bias".into(), vec![target_symbols], hidden);
        weights
    }
}

impl EncoderDecoder {
    /// Names and shapes of all weights.
    pub fn shapes(config: &EncoderDecoderConfig) -> Vec<(String, Vec<usize>)> {
        config.weights().into_iter().map(|(name, shape, _)| (name, shape)).collect()
    }

    /// Fresh weights, uniform in ±1/√fan, the same for the same seed.
    ///
    /// # Errors
    /// Those of [`EncoderDecoderConfig::validate`].
    pub fn init(config: &EncoderDecoderConfig, seed: u64) -> Result<BTreeMap<String, Var>> {
        config.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let fresh = config.weights().into_iter().map(|(name, shape, fan)| {
            let bound = 1.0 / (fan as f32).sqrt();
            let values: Vec<f32> =
                (0..shape.iter().product()).map(|_| rng.random_range(-bound..=bound)).collect();
            Ok((name, Var::from_vec(values, shape, &Device::Cpu)?))
        });
        fresh.collect()
    }

    /// Builds the network from named weights.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] names a tensor that is missing or of the wrong shape; those of
    /// [`EncoderDecoderConfig::validate`].
    pub fn new(config: &EncoderDecoderConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let shapes: BTreeMap<_, _> = Self::shapes(config).into_iter().collect();
        let named = |name: &str| -> Result<Tensor> {
            let wrong = |what: String| Error::new(ErrorKind::Model, format!("tensor `{name}` {what}"));
            let tensor = weights.get(name).ok_or_else(|| wrong("is missing".into()))?;
            if shapes.get(name).is_none_or(|shape| tensor.dims() != shape) {
                let expected = shapes.get(name).map(Vec::as_slice).unwrap_or_default();
                return Err(wrong(format!("has shape {:?}, not {expected:?}", tensor.dims())));
            }
            Ok(tensor.clone())
        };
        let linear = |name: &str| Ok((named(&format!("{name}.weight"))?, named(&format!("{name}.bias"))?));
        let bridges = &["bridge", "bridge_c"][..1 + usize::from(config.cell.has_memory())];
        Ok(Self {
            config: config.clone(),
            source_embedding: named("source_embedding.weight")?,
            target_embedding: named("target_embedding.weight")?,
            encoder: Rnn::new(&config.rnn(true), |name| named(&format!("encoder.{name}")))?,
            decoder: Rnn::new(&config.rnn(false), |name| named(&format!("decoder.{name}")))?,
            bridge: bridges.iter().map(|name| linear(name)).collect::<Result<_>>()?,
            attention: Attention::new(config.score, |name| named(&format!("attention.{name}")))?,
            combine: named("combine.weight")?,
            head: linear("head")?,
        })
    }

    pub fn config(&self) -> &EncoderDecoderConfig {
        &self.config
    }

    /// Reads sources, each of at least one symbol. With `rng` (training) activations are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Dataset`] for a source without symbols, and for a symbol that the network does not have.
    pub fn encode(&self, sources: &[Vec<u32>], mut rng: Option<&mut ChaCha8Rng>) -> Result<Encoded> {
        let (x, lengths) = self.embed(sources, &self.source_embedding, rng.as_deref_mut())?;
        let read = self.encoder.forward_with(Isa::best(), &x, &lengths, None, rng)?;
        let c = match (&read.state.c, self.bridge.get(1)) {
            (Some(c), Some(bridge)) => Some(self.cross(c, bridge)?),
            _ => None,
        };
        let state = RnnState { h: self.cross(&read.state.h, &self.bridge[0])?, c };
        Ok(Encoded { memory: read.output, lengths, state })
    }

    /// Goes on from `state` over the symbols of the targets, one sequence for each source. In training these are the start
    /// and all symbols but the last, whatever the network itself would have said (teacher forcing).
    ///
    /// # Errors
    /// As [`EncoderDecoder::encode`].
    pub fn decode(
        &self,
        encoded: &Encoded,
        state: &RnnState,
        targets: &[Vec<u32>],
        mut rng: Option<&mut ChaCha8Rng>,
    ) -> Result<Decoded> {
        let (y, lengths) = self.embed(targets, &self.target_embedding, rng.as_deref_mut())?;
        let written =
            self.decoder.forward_with(Isa::best(), &y, &lengths, Some(state), rng.as_deref_mut())?;
        let Attended { context, weights } =
            self.attention.forward(&written.output, &encoded.memory, &encoded.lengths)?;
        let both = Tensor::cat(&[&context, &written.output], 2)?;
        let (batch, frames, width) = both.dims3()?;
        let mut rows = both.reshape((batch * frames, width))?.matmul(&self.combine.t()?)?.tanh()?;
        if let Some(rng) = rng {
            rows = dropout(&rows, self.config.dropout, rng)?;
        }
        let (weight, bias) = &self.head;
        let logits = rows.matmul(&weight.t()?)?.broadcast_add(bias)?;
        let logits = logits.reshape((batch, frames, self.config.target_symbols))?;
        Ok(Decoded { logits, attention: weights, state: written.state })
    }

    /// The likeliest targets for one source, the best first. A hypothesis carries what was looked at as its symbols were
    /// written, its end too: so many rows of as many weights as the source has symbols.
    ///
    /// # Errors
    /// As [`EncoderDecoder::encode`] and [`BeamSearch::search`].
    pub fn search(
        &self,
        source: &[u32],
        start: u32,
        beam: BeamSearch,
    ) -> Result<Vec<Hypothesis<Vec<Vec<f32>>>>> {
        let encoded = self.encode(&[source.to_vec()], None)?;
        let first = (encoded.state.clone(), Vec::new());
        let found = beam.search(start, first, |symbols, states: &[(RnnState, Vec<Vec<f32>>)]| {
            let count = symbols.len();
            let beside = Encoded {
                memory: encoded.memory.repeat((count, 1, 1))?,
                lengths: vec![source.len(); count],
                state: RnnState::cat(&states.iter().map(|(state, _)| state).collect::<Vec<_>>())?,
            };
            let symbols: Vec<Vec<u32>> = symbols.iter().map(|&symbol| vec![symbol]).collect();
            let Decoded { logits, attention, state } = self.decode(&beside, &beside.state, &symbols, None)?;
            let log_probabilities = log_softmax(&logits.squeeze(1)?, 1)?.to_vec2::<f32>()?;
            let attention = attention.squeeze(1)?.to_vec2::<f32>()?;
            let each = log_probabilities.into_iter().zip(attention).enumerate();
            each.map(|(i, (log_probabilities, row))| {
                let looked_at = [states[i].1.as_slice(), &[row]].concat();
                Ok((log_probabilities, (state.of(i)?, looked_at)))
            })
            .collect()
        })?;
        let without_state = found.into_iter().map(|Hypothesis { symbols, log_probability, score, state }| {
            Hypothesis { symbols, log_probability, score, state: state.1 }
        });
        Ok(without_state.collect())
    }

    /// Sequences as padded embeddings `[B, T, E]`, and their lengths.
    fn embed(
        &self,
        sequences: &[Vec<u32>],
        table: &Tensor,
        rng: Option<&mut ChaCha8Rng>,
    ) -> Result<(Tensor, Vec<usize>)> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Dataset, message));
        let known = table.dim(0)?;
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if lengths.contains(&0) || longest == 0 {
            return wrong("a sequence is empty; it must have one symbol at least".into());
        }
        if let Some(symbol) = sequences.iter().flatten().find(|&&symbol| symbol as usize >= known) {
            return wrong(format!("there is a symbol {symbol}; the network knows those below {known}"));
        }
        let padded = |sequence: &Vec<u32>| {
            let mut symbols = sequence.clone();
            symbols.resize(longest, 0);
            symbols
        };
        let symbols: Vec<u32> = sequences.iter().flat_map(padded).collect();
        let symbols = Tensor::from_vec(symbols, sequences.len() * longest, table.device())?;
        let x = table.index_select(&symbols, 0)?.reshape((sequences.len(), longest, ()))?;
        match rng {
            Some(rng) => Ok((dropout(&x, self.config.dropout, rng)?, lengths)),
            None => Ok((x, lengths)),
        }
    }

    /// Both directions' states `[2L, B, H]` become the decoder's, `[L, B, H]`.
    fn cross(&self, states: &Tensor, (weight, bias): &(Tensor, Tensor)) -> Result<Tensor> {
        let (_, batch, hidden) = states.dims3()?;
        let layers = self.config.num_layers;
        // [L, 2, B, H] -> [L, B, 2, H]
        let sides = states.reshape((layers, 2, batch, hidden))?.transpose(1, 2)?.contiguous()?;
        let rows = sides.reshape((layers * batch, 2 * hidden))?;
        let crossed = rows.matmul(&weight.t()?)?.broadcast_add(bias)?.tanh()?;
        Ok(crossed.reshape((layers, batch, hidden))?)
    }
}
