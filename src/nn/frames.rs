//! A network without pooling over one sequence of any length: in pieces, in bounded memory, with the bits of the whole.
//!
//! Forward states are carried from piece to piece. What runs backward begins at the end, so a bidirectional network goes
//! through the whole sequence layer by layer; between layers its outputs are [`Rows`], in memory or in a file. Each
//! direction gives its own part of the logits, so that the last layer's outputs need no place.

use super::conv::FrontEnd;
pub use super::rows::Rows;
use super::{Network, Pooling};
use crate::{Error, ErrorKind, Result};

/// Frames that are worked on at a time.
const PIECE: usize = 2048;

/// Numbers of frames with planes that are read at a time, if that is more than one frame.
const MAX_PIECE_VALUES: usize = 4 << 20;

impl Network {
    /// All frames `[T, D]` of a sequence -> logits `[T, K]`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a network that pools; [`ErrorKind::Io`] where a temporary file fails.
    pub fn frame_logits(&self, frames: Rows) -> Result<Rows> {
        self.frame_logits_in_pieces(frames, PIECE)
    }

    /// As [`Network::frame_logits`], so many frames at a time; the answer does not depend on it.
    pub fn frame_logits_in_pieces(&self, frames: Rows, piece: usize) -> Result<Rows> {
        check(self, frames.width())?;
        let rnn = self.rnn();
        let mut inputs = vec![match self.front_end() {
            Some(front_end) => convolved(front_end, &frames, piece)?,
            None => frames,
        }];
        for layer in 0..rnn.num_layers() {
            let one = |direction| self.direction(&inputs, (layer, direction), piece);
            inputs = match rnn.num_directions() {
                1 => vec![one(0)?],
                _ => {
                    let (forward, reverse) = rayon::join(|| one(0), || one(1));
                    vec![forward?, reverse?]
                }
            };
        }
        let mut logits = Rows::with_limit(self.num_classes(), inputs[0].limit());
        let (mut sum, mut part) = (Vec::new(), Vec::new());
        for (first, count) in pieces(inputs[0].len(), piece) {
            inputs[0].read(first, count, &mut sum)?;
            for other in &inputs[1..] {
                other.read(first, count, &mut part)?;
                sum.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            }
            logits.push(&sum)?;
        }
        Ok(logits)
    }

    /// One layer in one direction over the outputs of the layer below: its own output, or its part of the logits.
    fn direction(&self, inputs: &[Rows], at: (usize, usize), piece: usize) -> Result<Rows> {
        let (rnn, hidden, total) = (self.rnn(), self.config().hidden_size, inputs[0].len());
        let is_last = at.0 + 1 == rnn.num_layers();
        let width = if is_last { self.num_classes() } else { hidden };
        let mut result = Rows::zeros(width, total, inputs[0].limit())?;
        let head = Head::new(self)?;
        let mut state = vec![0.0; rnn.state_size()];
        let (mut x, mut part, mut out, mut logits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut all: Vec<_> = pieces(total, piece).collect();
        if at.1 == 1 {
            all.reverse();
        }
        for (first, count) in all {
            read_side_by_side(inputs, first, count, &mut x, &mut part)?;
            out.resize(count * hidden, 0.0);
            rnn.scan(at, &x, &mut state, &mut out)?;
            if is_last {
                logits.clear();
                head.part(at.1, &out, &mut logits);
                result.write(first, &logits)?;
            } else {
                result.write(first, &out)?;
            }
        }
        Ok(result)
    }
}

/// What the front end makes of all frames `[T, D]`: `[T, W]`.
fn convolved(front_end: &FrontEnd, frames: &Rows, piece: usize) -> Result<Rows> {
    let mut all = Rows::with_limit(front_end.output_size(), frames.limit());
    let mut x = Vec::new();
    for (first, count) in pieces(frames.len(), piece.min(MAX_PIECE_VALUES / frames.width())) {
        let before = first.min(front_end.context());
        let behind = (frames.len() - first - count).min(front_end.context());
        frames.read(first - before, before + count + behind, &mut x)?;
        all.push(&front_end.infer(&x, [before, behind])?)?;
    }
    Ok(all)
}

/// The linear layer behind the last recurrent one.
struct Head {
    /// `[K, D·H]`
    weight: Vec<f32>,
    bias: Vec<f32>,
    hidden: usize,
}

impl Head {
    fn new(network: &Network) -> Result<Self> {
        let (weight, bias) = network.head()?;
        Ok(Self { weight, bias, hidden: network.config().hidden_size })
    }

    /// What one direction of the last layer, `out [T, H]`, adds to the logits `[T, K]`, which are appended; the bias comes
    /// with the first direction. In a fixed order of sums: a frame's logits do not depend on the others beside it.
    fn part(&self, direction: usize, out: &[f32], logits: &mut Vec<f32>) {
        let (hidden, width) = (self.hidden, self.weight.len() / self.bias.len());
        for h in out.chunks_exact(hidden) {
            for (weights, bias) in self.weight.chunks_exact(width).zip(&self.bias) {
                let product = dot(&weights[direction * hidden..][..hidden], h);
                logits.push(if direction == 0 { bias + product } else { product });
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `(first, count)` of each piece.
fn pieces(total: usize, piece: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..total).step_by(piece.max(1)).map(move |first| (first, piece.max(1).min(total - first)))
}

/// Rows of all `inputs` side by side.
fn read_side_by_side(
    inputs: &[Rows],
    first: usize,
    count: usize,
    x: &mut Vec<f32>,
    part: &mut Vec<f32>,
) -> Result<()> {
    if let [one] = inputs {
        return one.read(first, count, x);
    }
    let width: usize = inputs.iter().map(Rows::width).sum();
    x.resize(count * width, 0.0);
    let mut offset = 0;
    for input in inputs {
        input.read(first, count, part)?;
        for (x, row) in x.chunks_exact_mut(width).zip(part.chunks_exact(input.width())) {
            x[offset..offset + row.len()].copy_from_slice(row);
        }
        offset += input.width();
    }
    Ok(())
}

fn check(network: &Network, width: usize) -> Result<()> {
    if network.config().pooling != Pooling::None {
        return Err(Error::new(
            ErrorKind::Model,
            "the network gives one answer for a clip, none for its frames",
        ));
    }
    if width != network.input_size() {
        let message =
            format!("frames have {width} features where the network takes {}", network.input_size());
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    Ok(())
}

/// Logits of frames as they come.
///
/// With one direction they are those of the whole sequence, frame for frame; convolutions over time see as many frames
/// ahead as there are layers, and are exact too. What runs backward begins anew at each
/// block's end, `lookahead` frames behind the frames that are answered: an approximation.
pub struct FrameStream<'a> {
    network: &'a Network,
    head: Head,
    lookahead: usize,
    /// Frames that are answered together: whatever pieces come, blocks are the same.
    block: usize,
    /// The forward state of each layer.
    states: Vec<Vec<f32>>,
    /// Frames that the front end has not made anything of, and those before them that it needs.
    coming: Vec<f32>,
    /// How many of those there are.
    before: usize,
    /// Frames that are not answered yet, as the recurrent layers take them.
    waiting: Vec<f32>,
}

impl<'a> FrameStream<'a> {
    /// `lookahead` is 0 and `block` any number for one direction.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a network that pools.
    pub fn new(network: &'a Network, lookahead: usize, block: usize) -> Result<Self> {
        check(network, network.input_size())?;
        let rnn = network.rnn();
        let states = vec![vec![0.0; rnn.state_size()]; rnn.num_layers()];
        Ok(Self {
            network,
            head: Head::new(network)?,
            lookahead,
            block: block.max(1),
            states,
            coming: Vec::new(),
            before: 0,
            waiting: Vec::new(),
        })
    }

    /// Takes frames `[T, D]` and appends to `logits [T, K]` those that are now known.
    pub fn push(&mut self, frames: &[f32], logits: &mut Vec<f32>) -> Result<()> {
        self.convolve(frames, false)?;
        let dim = self.dim();
        let mut done = 0;
        while self.waiting.len() / dim - done >= self.block + self.lookahead {
            let block = self.waiting[done * dim..(done + self.block + self.lookahead) * dim].to_vec();
            self.answer(&block, self.block, logits)?;
            done += self.block;
        }
        self.waiting.drain(..done * dim);
        Ok(())
    }

    /// Takes frames through the front end, as far as what follows them is known.
    fn convolve(&mut self, frames: &[f32], is_end: bool) -> Result<()> {
        let Some(front_end) = self.network.front_end() else {
            self.waiting.extend_from_slice(frames);
            return Ok(());
        };
        self.coming.extend_from_slice(frames);
        let (width, context) = (self.network.input_size(), front_end.context());
        let behind = if is_end { 0 } else { context };
        let known = (self.coming.len() / width).saturating_sub(behind);
        if known <= self.before {
            return Ok(());
        }
        self.waiting.extend(front_end.infer(&self.coming, [self.before, behind])?);
        self.before = known.min(context);
        self.coming.drain(..(known - self.before) * width);
        Ok(())
    }

    /// There are no more frames: appends the logits of those that are left.
    pub fn finish(mut self, logits: &mut Vec<f32>) -> Result<()> {
        self.convolve(&[], true)?;
        let dim = self.dim();
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        while !rest.is_empty() {
            let seen = rest.len().min((self.block + self.lookahead) * dim);
            let answered = (rest.len() / dim).min(self.block);
            self.answer(&rest[..seen], answered, logits)?;
            rest = &rest[answered * dim..];
        }
        Ok(())
    }

    /// Numbers a frame that the recurrent layers take.
    fn dim(&self) -> usize {
        self.network.front_end().map_or(self.network.input_size(), FrontEnd::output_size)
    }

    /// The first `count` of `frames`; the others are looked ahead at.
    fn answer(&mut self, frames: &[f32], count: usize, logits: &mut Vec<f32>) -> Result<()> {
        let (network, rnn) = (self.network, self.network.rnn());
        let hidden = network.config().hidden_size;
        let total = frames.len() / self.dim();
        let mut x = frames.to_vec();
        let (mut forward, mut reverse) = (vec![0.0; total * hidden], Vec::new());
        for layer in 0..rnn.num_layers() {
            let width = x.len() / total;
            let state = &mut self.states[layer];
            rnn.scan((layer, 0), &x[..count * width], state, &mut forward[..count * hidden])?;
            if rnn.num_directions() == 1 {
                x.clone_from(&forward);
                continue;
            }
            let mut ahead = state.clone();
            if count < total {
                rnn.scan((layer, 0), &x[count * width..], &mut ahead, &mut forward[count * hidden..])?;
            }
            ahead.fill(0.0);
            reverse.resize(total * hidden, 0.0);
            rnn.scan((layer, 1), &x, &mut ahead, &mut reverse)?;
            x.resize(total * 2 * hidden, 0.0);
            let both = forward.chunks_exact(hidden).zip(reverse.chunks_exact(hidden));
            for (x, (forward, reverse)) in x.chunks_exact_mut(2 * hidden).zip(both) {
                x[..hidden].copy_from_slice(forward);
                x[hidden..].copy_from_slice(reverse);
            }
        }
        let first = logits.len();
        self.head.part(0, &forward[..count * hidden], logits);
        if rnn.num_directions() == 2 {
            let mut part = Vec::new();
            self.head.part(1, &reverse[..count * hidden], &mut part);
            logits[first..].iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::nn::{CellKind, FrameShape, NetworkConfig};

    /// Of plain numbers, and with convolutions in front.
    fn networks(cell: CellKind, bidirectional: bool) -> [Network; 3] {
        let pictures = FrameShape { channels: 2, height: 5, width: 4, rest: 3 };
        let spectrogram = FrameShape { channels: 2, height: 9, width: 1, rest: 0 };
        [
            (FrameShape::from(5), vec![], vec![]),
            (pictures, vec![3, 17], vec![]),
            (spectrogram, vec![3, 17], vec![[1, 2], [1, 3]]),
        ]
        .map(|(shape, channels, pool)| network(shape, (channels, pool), cell, bidirectional))
    }

    fn network(
        shape: FrameShape,
        (conv_channels, conv_pool): (Vec<usize>, Vec<[usize; 2]>),
        cell: CellKind,
        bidirectional: bool,
    ) -> Network {
        let config = NetworkConfig {
            conv_channels,
            conv_pool,
            cell,
            bidirectional,
            hidden_size: 19,
            num_layers: 3,
            pooling: Pooling::None,
            ..NetworkConfig::default()
        };
        let vars = Network::init(&config, shape, 4, 7).unwrap();
        let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
        Network::new(&config, shape, 4, &weights).unwrap()
    }

    fn frames(network: &Network, count: usize) -> Vec<f32> {
        (0..count * network.input_size()).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0).collect()
    }

    fn rows(network: &Network, values: &[f32], limit: usize) -> Rows {
        let mut rows = Rows::with_limit(network.input_size(), limit);
        rows.push(values).unwrap();
        rows
    }

    fn whole(network: &Network, values: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        let logits = network.frame_logits(rows(network, values, usize::MAX)).unwrap();
        logits.read(0, logits.len(), &mut out).unwrap();
        out
    }

    #[test]
    fn pieces_in_memory_and_in_files_give_the_bits_of_the_whole() {
        for cell in [CellKind::Gru, CellKind::Lstm, CellKind::LstmPeephole, CellKind::RnnTanh] {
            for bidirectional in [false, true] {
                for network in networks(cell, bidirectional) {
                    pieces_give_the_whole(&network, &format!("{cell:?} {bidirectional}"));
                }
            }
        }
    }

    fn pieces_give_the_whole(network: &Network, what: &str) {
        let values = frames(network, 201);
        let all = whole(network, &values);
        let x = Tensor::from_slice(&values, (1, 201, network.input_size()), &Device::Cpu).unwrap();
        let direct = network.forward(&x, &[201], None).unwrap().flatten_all().unwrap();
        for (a, b) in all.iter().zip(direct.to_vec1::<f32>().unwrap()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        for (piece, limit) in [(1, 0), (7, 100), (64, usize::MAX), (200, 0), (500, 0)] {
            let mut out = Vec::new();
            let logits = network.frame_logits_in_pieces(rows(network, &values, limit), piece).unwrap();
            logits.read(0, logits.len(), &mut out).unwrap();
            assert_eq!(out, all, "{what} in pieces of {piece}, {} features", network.input_size());
        }
    }

    fn streamed(network: &Network, values: &[f32], lookahead: usize, block: usize, piece: usize) -> Vec<f32> {
        let mut stream = FrameStream::new(network, lookahead, block).unwrap();
        let mut out = Vec::new();
        stream.push(&[], &mut out).unwrap();
        values.chunks(piece * network.input_size()).for_each(|frames| stream.push(frames, &mut out).unwrap());
        stream.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn one_direction_streams_with_the_bits_of_the_whole() {
        for network in networks(CellKind::Gru, false) {
            let values = frames(&network, 150);
            let all = whole(&network, &values);
            for (block, piece) in [(1, 1), (1, 40), (10, 7), (64, 150)] {
                assert_eq!(streamed(&network, &values, 0, block, piece), all, "{block} {piece}");
            }
        }
    }

    #[test]
    fn two_directions_that_look_far_enough_ahead_give_the_whole() {
        for network in networks(CellKind::Lstm, true) {
            let values = frames(&network, 90);
            let all = whole(&network, &values);
            assert_eq!(streamed(&network, &values, 90, 10, 13), all);
            assert_eq!(streamed(&network, &values, 0, 90, 90), all);
            let near = streamed(&network, &values, 20, 10, 13);
            assert_eq!(near.len(), all.len());
            assert_eq!(near, streamed(&network, &values, 20, 10, 1), "whatever pieces come");
            assert_ne!(near, all);
        }
    }
}
