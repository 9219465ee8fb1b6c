//! Clips through all layers over plain memory: forward at inference, where each norm is part of its convolution, and
//! forward and back in training, where a norm is that of the clips at hand.
//!
//! A pixel's outputs are sums of what it reads in one order, so at inference a frame's numbers depend neither on the clips
//! beside it nor on where a recording is cut. In training clips are worked on side by side; what is summed over them is
//! summed in their order, so it is the same for any number of threads.

use rayon::prelude::*;

use super::pack::{Backward, Forward, Gradients, LayerParts, MatrixGradient, Parts, linear_panels, panels};
use super::sizes::{Bins, Layer, Sizes};
use crate::nn::kernels::{
    Gradient, Matrix, Moments, NormBackward, Places, PoolBackward, PoolForward, Product, Taps, Windows,
};
use crate::nn::pool::Pool;

/// Added to a variance, so that a channel that is constant is not divided by 0: PyTorch's.
pub(super) const EPSILON: f64 = 1e-5;

/// Clips whose gradients of a kernel are summed before they are added to those of the others.
const CLIPS_IN_A_PART: usize = 2;

/// Frames of one clip among the rows `[.., D]` of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clip {
    pub first_row: usize,
    pub frames: usize,
    /// Where its outputs go.
    pub first_output: usize,
}

/// Takes frames `[T, C·bins]` into a grid with a border.
fn read(bins: Bins, frames: &[f32], pool: &Pool) -> Vec<f32> {
    let count = frames.len() / (bins.channels * bins.bins);
    let grid = bins.grid(count);
    let mut values = pool.take(grid.len());
    grid.clear_border(&mut values);
    for (t, frame) in frames.chunks_exact(bins.channels * bins.bins).enumerate() {
        for (channel, row) in frame.chunks_exact(bins.bins).enumerate() {
            let pixels = values[grid.at(t, 0) + channel..].iter_mut().step_by(bins.stride);
            pixels.zip(row).for_each(|(to, &value)| *to = value);
        }
    }
    values
}

/// One convolution of a clip's frames, which have a border: `[T, bins, C]` without one.
fn convolve(
    sizes: &Sizes,
    l: usize,
    frames: usize,
    input: &[f32],
    weights: &Forward,
    pool: &Pool,
) -> Vec<f32> {
    let layer = &sizes.layers[l];
    let (from, taps) = layer.patches(frames);
    let mut out = pool.take(frames * layer.output.len());
    Product {
        matrix: &weights.layers[l],
        operand: input,
        from,
        taps,
        to: &mut out,
        into: layer.output.pixels(frames),
        relu: false,
    }
    .run();
    out
}

/// Scales, shifts, pools and rectifies what a convolution gave; with a border where another one follows.
fn pooled(
    sizes: &Sizes,
    l: usize,
    frames: usize,
    pixels: &[f32],
    (scale, shift): (&[f32], &[f32]),
    pool: &Pool,
) -> Vec<f32> {
    let layer = &sizes.layers[l];
    let (bins, count) = (layer.pooled(), layer.pooled_frames(frames));
    let windows = windows(sizes, layer, frames, pixels, (scale, shift));
    if l + 1 == sizes.layers.len() {
        let mut out = pool.take(count * bins.len());
        PoolForward { windows, to: &mut out, into: bins.pixels(count) }.run();
        return out;
    }
    let grid = bins.grid(count);
    let mut out = pool.take(grid.len());
    grid.clear_border(&mut out);
    PoolForward { windows, to: &mut out[grid.at(0, 0)..], into: grid.pixels() }.run();
    out
}

fn windows<'a>(
    sizes: &Sizes,
    layer: &Layer,
    frames: usize,
    pixels: &'a [f32],
    (scale, shift): (&'a [f32], &'a [f32]),
) -> Windows<'a> {
    Windows {
        isa: sizes.isa,
        pixels,
        lines: frames,
        rows: layer.output.bins,
        window: layer.pool,
        scale,
        shift,
    }
}

/// The linear layer over what the last pooling gave, `[T', bins, C]` -> `[T', out]`.
fn linear(sizes: &Sizes, frames: usize, operand: &[f32], weights: &Forward) -> Vec<f32> {
    let (last, width) = (sizes.last(), sizes.padded_outputs());
    let mut padded = vec![0.0; frames * width];
    Product {
        matrix: &weights.linear,
        operand,
        from: last.rows(frames),
        taps: Taps { count: 1, stride: 0, depth: last.len() },
        to: &mut padded,
        into: Places { lines: 1, line: 0, rows: frames, stride: width },
        relu: true,
    }
    .run();
    padded.chunks_exact(width).flat_map(|row| &row[..sizes.outputs]).copied().collect()
}

/// Frames `[T, D]` of a sequence, or of a stretch of it -> `[T', out]`, with norms folded into the kernels.
pub(super) fn infer(sizes: &Sizes, frames: &[f32], weights: &Forward, pool: &Pool) -> Vec<f32> {
    let mut count = frames.len() / sizes.width();
    if count == 0 {
        return Vec::new();
    }
    let mut values = read(sizes.input(), frames, pool);
    for (l, layer) in sizes.layers.iter().enumerate() {
        let stride = layer.output.stride;
        let pixels = convolve(sizes, l, count, &values, weights, pool);
        let next = pooled(sizes, l, count, &pixels, (&vec![1.0; stride], &vec![0.0; stride]), pool);
        pool.give([std::mem::replace(&mut values, next), pixels]);
        count = layer.pooled_frames(count);
    }
    let out = linear(sizes, count, &values, weights);
    pool.give([values]);
    out
}

/// Mean and deviation of each channel over the clips at hand, and what they make of the norm.
pub(super) struct Norm {
    pub mean: Vec<f32>,
    /// Biased: divided by the number of pixels.
    pub variance: Vec<f32>,
    pub count: usize,
    inv_std: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Norm {
    fn new(
        stride: usize,
        count: usize,
        (sums, squares): (&[f64], &[f64]),
        weight: &[f32],
        bias: &[f32],
    ) -> Self {
        let zeros = || vec![0.0; stride];
        let mut norm = Self {
            mean: zeros(),
            variance: zeros(),
            count,
            inv_std: zeros(),
            scale: zeros(),
            shift: zeros(),
        };
        for c in 0..weight.len() {
            let mean = sums[c] / count as f64;
            let variance = (squares[c] / count as f64 - mean * mean).max(0.0);
            let inv_std = 1.0 / (variance + EPSILON).sqrt();
            norm.mean[c] = mean as f32;
            norm.variance[c] = variance as f32;
            norm.inv_std[c] = inv_std as f32;
            norm.scale[c] = (f64::from(weight[c]) * inv_std) as f32;
            norm.shift[c] = (f64::from(bias[c]) - f64::from(weight[c]) * inv_std * mean) as f32;
        }
        norm
    }
}

/// What the way back needs of the way forward.
pub(super) struct Kept {
    /// By layer and clip, with a border; behind them what the linear layer read, without one.
    inputs: Vec<Vec<Vec<f32>>>,
    /// By layer and clip: what the convolution gave.
    pixels: Vec<Vec<Vec<f32>>>,
    pub norms: Vec<Norm>,
}

/// Clips of a batch in training.
pub(super) struct Training<'a> {
    pub sizes: &'a Sizes,
    pub clips: &'a [Clip],
    pub pool: &'a Pool,
}

impl Training<'_> {
    /// `x [.., D]` -> `[outputs, out]`, zero where no clip has frames.
    pub fn forward(&self, x: &[f32], outputs: usize, weights: &[f32]) -> (Vec<f32>, Kept) {
        let (sizes, pool) = (self.sizes, self.pool);
        let parts = Parts::new(sizes, weights);
        let packed = Forward::new(sizes, &parts);
        let mut frames: Vec<usize> = self.clips.iter().map(|clip| clip.frames).collect();
        let first = self.clips.par_iter().map(|clip| read(sizes.input(), self.rows(clip, x), pool));
        let mut inputs: Vec<Vec<Vec<f32>>> = vec![first.collect()];
        let (mut pixels, mut norms) = (Vec::new(), Vec::new());
        for (l, layer) in sizes.layers.iter().enumerate() {
            let stride = layer.output.stride;
            let convolved = inputs[l].par_iter().zip(&frames).map(|(input, &frames)| {
                let pixels = convolve(sizes, l, frames, input, &packed, pool);
                let mut moments = (vec![0.0; stride], vec![0.0; stride]);
                let rows = layer.output.bins;
                let (sums, squares) = (&mut moments.0, &mut moments.1);
                Moments { isa: sizes.isa, pixels: &pixels, rows, sums, squares }.run();
                (pixels, moments)
            });
            let (layer_pixels, moments): (Vec<_>, Vec<_>) = convolved.unzip();
            let mut sums = (vec![0.0; stride], vec![0.0; stride]);
            for (clip_sums, clip_squares) in &moments {
                sums.0.iter_mut().zip(clip_sums).for_each(|(sum, value)| *sum += value);
                sums.1.iter_mut().zip(clip_squares).for_each(|(sum, value)| *sum += value);
            }
            let count = frames.iter().sum::<usize>() * layer.output.bins;
            let LayerParts { norm_weight, norm_bias, .. } = parts.layers[l];
            let norm = Norm::new(stride, count, (&sums.0, &sums.1), norm_weight, norm_bias);
            let next = layer_pixels
                .par_iter()
                .zip(&frames)
                .map(|(pixels, &frames)| pooled(sizes, l, frames, pixels, (&norm.scale, &norm.shift), pool));
            inputs.push(next.collect());
            frames.iter_mut().for_each(|frames| *frames = layer.pooled_frames(*frames));
            pixels.push(layer_pixels);
            norms.push(norm);
        }
        let last = inputs[sizes.layers.len()].par_iter().zip(&frames);
        let done: Vec<Vec<f32>> =
            last.map(|(operand, &frames)| linear(sizes, frames, operand, &packed)).collect();
        let mut out = vec![0.0; outputs * sizes.outputs];
        for (clip, values) in self.clips.iter().zip(done) {
            out[clip.first_output * sizes.outputs..][..values.len()].copy_from_slice(&values);
        }
        (out, Kept { inputs, pixels, norms })
    }

    fn rows<'x>(&self, clip: &Clip, x: &'x [f32]) -> &'x [f32] {
        let width = self.sizes.width();
        &x[clip.first_row * width..][..clip.frames * width]
    }

    /// Gradients of the weights and, if wanted, of `x [.., D]`, from that of `out`, which `forward` gave.
    pub fn backward(
        &self,
        kept: Kept,
        weights: &[f32],
        (out, dout): (&[f32], &[f32]),
        dx_len: Option<usize>,
    ) -> (Gradients, Option<Vec<f32>>) {
        let parts = Parts::new(self.sizes, weights);
        let packed = Backward::new(self.sizes, &parts, dx_len.is_some());
        let Kept { mut inputs, mut pixels, norms } = kept;
        let last = inputs.pop().unwrap_or_default();
        let (linear, linear_bias, mut dpooled) = self.linear_backward(&last, &packed, out, dout);
        self.pool.give(last);
        let mut layers = Vec::new();
        for (l, norm) in norms.iter().enumerate().rev() {
            let (input, pixels) = (inputs.pop().unwrap_or_default(), pixels.pop().unwrap_or_default());
            let weight = parts.layers[l].norm_weight;
            let (gradients, dinput) =
                self.layer_backward(l, (norm, weight), packed.layers[l].as_ref(), &input, &pixels, dpooled);
            self.pool.give(input.into_iter().chain(pixels));
            layers.push(gradients);
            dpooled = dinput;
        }
        layers.reverse();
        let dx = dx_len.map(|len| self.input_gradient(len, &dpooled));
        self.pool.give(dpooled);
        (Gradients { layers, linear, linear_bias }, dx)
    }

    /// The linear layer: its weights' gradients, and those of what it read, by clip.
    fn linear_backward(
        &self,
        last: &[Vec<f32>],
        weights: &Backward,
        out: &[f32],
        dout: &[f32],
    ) -> (MatrixGradient, Vec<f32>, Vec<Vec<f32>>) {
        let sizes = self.sizes;
        let (bins, width) = (sizes.last(), sizes.padded_outputs());
        let parts = self.clips.par_chunks(CLIPS_IN_A_PART).zip(last.par_chunks(CLIPS_IN_A_PART));
        let done = parts.map(|(clips, operands)| {
            let mut sum = MatrixGradient::new(linear_panels(sizes), self.pool);
            let mut bias = vec![0.0; width];
            let mut inputs = Vec::with_capacity(clips.len());
            for (clip, operand) in clips.iter().zip(operands) {
                let frames = sizes.pooled_frames(clip.frames);
                let range = clip.first_output * sizes.outputs..(clip.first_output + frames) * sizes.outputs;
                let mut gradient = vec![0.0; frames * width];
                let rows = out[range.clone()].chunks_exact(sizes.outputs);
                let rows = rows.zip(dout[range].chunks_exact(sizes.outputs));
                for (to, (out, dout)) in gradient.chunks_exact_mut(width).zip(rows) {
                    for (k, (&out, &d)) in out.iter().zip(dout).enumerate() {
                        to[k] = if out > 0.0 { d } else { 0.0 };
                        bias[k] += to[k];
                    }
                }
                let outputs = Places { lines: 1, line: 0, rows: frames, stride: width };
                Gradient {
                    panels: sum.panels,
                    frames: 1,
                    operand,
                    frame: 0,
                    from: bins.rows(frames),
                    taps: Taps { count: 1, stride: 0, depth: bins.len() },
                    gradient: &gradient,
                    gradient_frame: 0,
                    gradient_from: outputs,
                    to: &mut sum.values,
                }
                .run();
                let mut input = self.pool.take(frames * bins.len());
                Product {
                    matrix: &weights.linear,
                    operand: &gradient,
                    from: outputs,
                    taps: Taps { count: 1, stride: 0, depth: width },
                    to: &mut input,
                    into: bins.rows(frames),
                    relu: false,
                }
                .run();
                inputs.push(input);
            }
            (sum, bias, inputs)
        });
        let done: Vec<_> = done.collect();
        let mut bias = vec![0.0; width];
        let (mut sums, mut inputs) = (Vec::new(), Vec::new());
        for (part, part_bias, part_inputs) in done {
            bias.iter_mut().zip(part_bias).for_each(|(sum, value)| *sum += value);
            sums.push(part);
            inputs.extend(part_inputs);
        }
        let sum = MatrixGradient::sum(sums, self.pool)
            .unwrap_or_else(|| MatrixGradient::new(linear_panels(sizes), self.pool));
        (sum, bias, inputs)
    }

    /// Pooling, norm and convolution: gradients of the kernel, of the norm's weight and bias, and, by clip, of the input
    /// `[T, bins, C]` if the matrix for that is given.
    #[allow(clippy::type_complexity, reason = "the three gradients of a layer, and those of its inputs")]
    fn layer_backward(
        &self,
        l: usize,
        (norm, weight): (&Norm, &[f32]),
        matrix: Option<&Matrix>,
        inputs: &[Vec<f32>],
        pixels: &[Vec<f32>],
        dpooled: Vec<Vec<f32>>,
    ) -> ((MatrixGradient, Vec<f32>, Vec<f32>), Vec<Vec<f32>>) {
        let (sizes, layer, pool) = (self.sizes, &self.sizes.layers[l], self.pool);
        let stride = layer.output.stride;
        let frames_of = |pixels: &[f32]| pixels.len() / layer.output.len();
        let unpooled = pixels.par_iter().zip(&dpooled).map(|(pixels, gradient)| {
            let grid = layer.output.grid(frames_of(pixels));
            let mut to = pool.take(grid.len());
            grid.clear_border(&mut to);
            let (mut sums, mut products) = (vec![0.0; stride], vec![0.0; stride]);
            PoolBackward {
                windows: windows(sizes, layer, frames_of(pixels), pixels, (&norm.scale, &norm.shift)),
                mean: &norm.mean,
                inv_std: &norm.inv_std,
                gradient,
                to: &mut to[grid.at(0, 0)..],
                into: grid.pixels(),
                sums: &mut sums,
                products: &mut products,
            }
            .run();
            (to, sums, products)
        });
        let unpooled: Vec<_> = unpooled.collect();
        pool.give(dpooled);
        let (mut sums, mut products) = (vec![0f64; stride], vec![0f64; stride]);
        for (_, clip_sums, clip_products) in &unpooled {
            sums.iter_mut().zip(clip_sums).for_each(|(sum, &value)| *sum += f64::from(value));
            products.iter_mut().zip(clip_products).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let factors = norm_factors(norm, weight, &sums, &products);
        let mut gradients: Vec<Vec<f32>> = unpooled.into_iter().map(|(to, ..)| to).collect();
        let parts = gradients.par_chunks_mut(CLIPS_IN_A_PART).enumerate();
        let done = parts.map(|(part, gradients)| {
            let first = part * CLIPS_IN_A_PART;
            let mut sum = MatrixGradient::new(panels(sizes, layer), pool);
            let mut dinputs = Vec::new();
            for (gradient, i) in gradients.iter_mut().zip(first..) {
                let frames = frames_of(&pixels[i]);
                let grid = layer.output.grid(frames);
                NormBackward {
                    isa: sizes.isa,
                    pixels: &pixels[i],
                    gradient: &mut gradient[grid.at(0, 0)..],
                    places: grid.pixels(),
                    factors: [&factors[0], &factors[1], &factors[2]],
                }
                .run();
                let (from, taps) = layer.patches(frames);
                Gradient {
                    panels: sum.panels,
                    frames: 1,
                    operand: &inputs[i],
                    frame: 0,
                    from,
                    taps,
                    gradient: &gradient[grid.at(0, 0)..],
                    gradient_frame: 0,
                    gradient_from: grid.pixels(),
                    to: &mut sum.values,
                }
                .run();
                if let Some(matrix) = matrix {
                    let (from, taps) = layer.patches_back(frames);
                    let bins = padded(sizes, layer.input);
                    let mut dinput = pool.take(frames * bins.len());
                    Product {
                        matrix,
                        operand: gradient,
                        from,
                        taps,
                        to: &mut dinput,
                        into: bins.pixels(frames),
                        relu: false,
                    }
                    .run();
                    dinputs.push(dinput);
                }
            }
            (sum, dinputs)
        });
        let done: Vec<_> = done.collect();
        pool.give(gradients);
        let (parts, dinputs): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let kernel = MatrixGradient::sum(parts, pool)
            .unwrap_or_else(|| MatrixGradient::new(panels(sizes, layer), pool));
        let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        ((kernel, single(products), single(sums)), dinputs.into_iter().flatten().collect())
    }

    /// What the first layer gives by clip, `[T, bins, lanes]`, as the rows of `x`.
    fn input_gradient(&self, len: usize, dinputs: &[Vec<f32>]) -> Vec<f32> {
        let (bins, width) = (self.sizes.input(), self.sizes.width());
        let padded = padded(self.sizes, bins);
        let mut dx = vec![0.0; len];
        for (clip, dinput) in self.clips.iter().zip(dinputs) {
            let rows = dx[clip.first_row * width..][..clip.frames * width].chunks_exact_mut(width);
            for (row, from) in rows.zip(dinput.chunks_exact(padded.len())) {
                for (channel, to) in row.chunks_exact_mut(bins.bins).enumerate() {
                    let from = from[channel..].iter().step_by(padded.stride);
                    to.iter_mut().zip(from).for_each(|(to, &value)| *to = value);
                }
            }
        }
        dx
    }
}

/// Bins whose gradient is written in whole vectors.
fn padded(sizes: &Sizes, bins: Bins) -> Bins {
    Bins { stride: bins.channels.next_multiple_of(sizes.isa.lanes()), ..bins }
}

/// The gradient `d` of what a norm gave becomes `a·d + b + c·pixel` (Ioffe & Szegedy 2015): with the normalised pixel
/// `x = inv_std·(pixel - mean)` it is `weight·inv_std·(d - mean(d) - x·mean(d·x))`.
fn norm_factors(norm: &Norm, weight: &[f32], sums: &[f64], products: &[f64]) -> [Vec<f32>; 3] {
    let mut factors = [(); 3].map(|()| vec![0.0; norm.mean.len()]);
    for (k, &weight) in weight.iter().enumerate() {
        let inv_std = f64::from(norm.inv_std[k]);
        let a = f64::from(weight) * inv_std;
        let (mean, product) = (sums[k] / norm.count as f64, products[k] / norm.count as f64);
        let c = -a * product * inv_std;
        factors[0][k] = a as f32;
        factors[1][k] = (-a * mean - c * f64::from(norm.mean[k])) as f32;
        factors[2][k] = c as f32;
    }
    factors
}
