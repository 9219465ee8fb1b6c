//! The fused scans: a recurrent layer over a whole packed batch in one pass, forward and backward.
//!
//! One text is compiled for each kind of vector that a machine may have ([`Isa`]); the one to use is found
//! at run time. The reference is the plain step of [`cell`](super::cell), which reads as the formulas do.

mod backward;
mod dense;
mod forward;
mod gradient;
mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod pooling;
mod product;
mod scan;
pub(crate) mod simd;
mod team;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

use crate::{Error, ErrorKind, Result};

pub(crate) use dense::{Gradient, Matrix, Panels, Places, Product, Rectify, Taps};
use forward::{Part, Scan};
pub(crate) use math::{sigmoid, tanh};
pub(crate) use pack::{PackedWeights, Parameters, Sizes};
pub(crate) use pooling::{Moments, NormBackward, PoolBackward, PoolForward, Windows};
use product::Product as ScanProduct;
pub(crate) use scan::{Backward, Columns, Forward, Mask, States, saved_per_row};
use simd::{Portable, Simd};
use team::Team;

/// Environment variable that names the kernel to use: `portable`, `avx2`, `avx512` or `neon`.
pub const KERNEL_VARIABLE: &str = "PERCEPT_KERNEL";

/// The vector instructions that a scan is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// What every machine of the target has.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
    Neon,
}

impl Isa {
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The widest that this machine has, or the one that [`KERNEL_VARIABLE`] names.
    ///
    /// # Panics
    /// Where the variable names none that this machine has; [`Isa::from_environment`] tells without a panic.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| match Self::from_environment() {
            Ok(isa) => isa,
            Err(error) => panic!("{error}"),
        })
    }

    /// As [`Isa::best`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the variable names none that this machine has.
    pub fn from_environment() -> Result<Self> {
        let available: Vec<Self> = Self::available().collect();
        let Some(name) = std::env::var_os(KERNEL_VARIABLE) else { return Ok(available[0]) };
        available.iter().copied().find(|isa| name == isa.name()).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
            let message = format!(
                "{KERNEL_VARIABLE} is {:?}; this machine has {}",
                name.to_string_lossy(),
                names.join(", ")
            );
            Error::new(ErrorKind::Config, message)
        })
    }

    /// Those that this machine has, the widest first; [`Isa::Portable`] is always among them.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon => false,
        }
    }

    /// Values in one of its vectors.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Portable => Portable::LANES,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
            Self::Neon => 4,
        }
    }
}

/// What a cell does to the numbers of one unit at one step, once the products are there. One implementation a cell,
/// beside its reference step.
///
/// Most cells need one round of products, of the state before the step. Two need a second round, of something that
/// the first one made: see [`Gates::SECOND`].
pub(crate) trait Gates {
    /// Blocks of `H` rows in the input's and the recurrent weights, at most [`MAX_GATES`].
    const GATES: usize;
    /// Values a unit keeps for the way back, at most [`MAX_SAVED`].
    const SAVED: usize;
    /// Which of them is the memory cell, if there is one.
    const MEMORY: Option<usize>;
    /// The first so many gates have a product with h before the step.
    const FIRST: usize = Self::GATES;
    /// The first so many gates have a product with c before the step too.
    const FROM_MEMORY: usize = 0;
    /// The gate with a product of the second round, with what [`Gates::first`] gives as `mid`.
    const SECOND: Option<usize> = None;
    /// Where the second round's weights stand.
    const SECOND_WEIGHTS: SecondWeights = SecondWeights::Recurrent;
    /// The gradients of the input's and of the recurrent products are the same ([`Unstepped::dx`] and `da`).
    const SAME_GRADIENTS: bool = true;
    /// Peephole weights between the memory cell and the gates.
    const PEEPHOLES: Peepholes = Peepholes::None;

    /// The first round. `x` are the input's products, `a` the recurrent ones, each with its bias; `p` the unit's
    /// diagonal peepholes; `h` and `c` the state before.
    ///
    /// # Safety
    /// As [`Simd`] asks.
    unsafe fn first<V: Simd>(
        x: &[V; MAX_GATES],
        a: &[V; MAX_GATES],
        p: &[V; PEEPHOLE_GATES],
        h: V,
        c: V,
    ) -> Stepped<V>;

    /// The second round: `a` is the product of `mid`, with its bias where the first round had none for this gate.
    /// Gives the new h and completes `saved`.
    ///
    /// # Safety
    /// As [`Simd`] asks.
    #[inline(always)]
    unsafe fn second<V: Simd>(saved: &mut [V; MAX_SAVED], a: V, h: V) -> V {
        let _ = (saved, a);
        h
    }

    /// Gradient of the second round's product, from that of h after the step.
    ///
    /// # Safety
    /// As [`Simd`] asks.
    #[inline(always)]
    unsafe fn second_backward<V: Simd>(saved: &[V; MAX_SAVED], dh: V) -> V {
        let _ = saved;
        dh
    }

    /// Gradients from those of the state after (`dh`, `dc`) and of `mid`, and what was kept; `h` and `c` are the
    /// state before.
    ///
    /// # Safety
    /// As [`Simd`] asks.
    unsafe fn backward<V: Simd>(
        saved: &[V; MAX_SAVED],
        p: &[V; PEEPHOLE_GATES],
        before: (V, V),
        dh: V,
        dc: V,
        dmid: V,
    ) -> Unstepped<V>;
}

pub(crate) const MAX_GATES: usize = 4;
pub(crate) const MAX_SAVED: usize = 5;
/// Gates that may look at the memory cell: i, f, o.
pub(crate) const PEEPHOLE_GATES: usize = 3;

/// Where the weights of the second round stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecondWeights {
    /// In the gate's own block of the recurrent weights.
    Recurrent,
    /// In the last block of the peephole weights.
    Peephole,
}

/// Weights between the memory cell and the gates i, f, o.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peepholes {
    None,
    /// A number a unit and gate: `[3, H]`.
    Diagonal,
    /// A matrix a gate: `[3·H, H]`.
    Full,
}

/// The state after a step, and what the way back needs.
pub(crate) struct Stepped<V> {
    /// Final where there is no second round.
    pub h: V,
    pub c: V,
    /// What the second round multiplies, if there is one.
    pub mid: V,
    pub saved: [V; MAX_SAVED],
}

/// Gradients of a step's inputs.
pub(crate) struct Unstepped<V> {
    /// Of the input's products.
    pub dx: [V; MAX_GATES],
    /// Of the recurrent products.
    pub da: [V; MAX_GATES],
    /// Of the state before, without what comes through the products.
    pub dh: V,
    pub dc: V,
    /// What the second round multiplied; with diagonal peepholes c after the step.
    pub mid: V,
}

/// Compiles the scans and the product for one kind of vector.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! compile_for {
    ($features:literal, $vector:ty, $part:ident, $backward:ident, $product:ident) => {
        #[target_feature(enable = $features)]
        unsafe fn $part<C: Gates>(scan: &Scan, part: Part) {
            // SAFETY: this function is compiled for the instructions of $vector; the caller answers for the scan.
            unsafe { scan.part::<$vector, C>(part) }
        }
        #[target_feature(enable = $features)]
        fn $backward<C: Gates>(args: Backward) {
            // SAFETY: as above.
            unsafe { backward::backward::<$vector, C>(args) }
        }
        #[target_feature(enable = $features)]
        unsafe fn $product(args: &ScanProduct) {
            // SAFETY: as above; the caller answers for the pointers.
            unsafe { product::product::<$vector>(args) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compile_for!("avx2,fma", x86::Avx2, part_avx2, backward_avx2, product_avx2);
#[cfg(target_arch = "x86_64")]
compile_for!("avx512f,avx2,fma", x86::Avx512, part_avx512, backward_avx512, product_avx512);
#[cfg(target_arch = "aarch64")]
compile_for!("neon", neon::Neon, part_neon, backward_neon, product_neon);

/// One layer in one direction, from its input to its states; `with_helper` another core may take a part.
pub(crate) fn forward<C: Gates>(isa: Isa, args: Forward, with_helper: bool) {
    assert!(isa.is_available());
    assert_eq!((args.weights.made_for.0, args.weights.made_for.1), (isa, pack::Way::Forward));
    args.check::<C>();
    let scan = Scan::new::<C>(args);
    // SAFETY: the machine has the instructions, and the sizes are checked.
    unsafe {
        if with_helper {
            let team = Team::default();
            rayon::join(|| scan.lead::<C>(isa, Some(&team)), || scan.help::<C>(isa, &team));
        } else {
            scan.lead::<C>(isa, None);
        }
    }
}

/// A part of a way forward.
///
/// # Safety
/// The machine has the instructions, and the scan's arguments are checked.
#[inline(always)]
unsafe fn part<C: Gates>(isa: Isa, scan: &Scan, part: Part) {
    // SAFETY: the caller's.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => part_avx2::<C>(scan, part),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => part_avx512::<C>(scan, part),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => part_neon::<C>(scan, part),
            _ => scan.part::<Portable, C>(part),
        }
    }
}

/// The way back through one layer in one direction.
pub(crate) fn backward<C: Gates>(isa: Isa, args: Backward) {
    assert!(isa.is_available());
    assert_eq!((args.weights.made_for.0, args.weights.made_for.1), (isa, pack::Way::Backward));
    args.check::<C>();
    // SAFETY: the machine has the instructions, and the sizes are checked.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => backward_avx2::<C>(args),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => backward_avx512::<C>(args),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => backward_neon::<C>(args),
            _ => backward::backward::<Portable, C>(args),
        }
    }
}

/// # Safety
/// The machine has the instructions, and the pointers have the rows.
#[inline(always)]
unsafe fn product(isa: Isa, args: &ScanProduct) {
    // SAFETY: the caller's.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => product_avx2(args),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => product_avx512(args),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => product_neon(args),
            _ => product::product::<Portable>(args),
        }
    }
}
