//! The fused scans: a recurrent layer over a whole packed batch in one pass, forward and backward.
//!
//! One text (`scan`) is compiled for each kind of vector that a machine may have ([`Isa`]); the one to use is found
//! at run time. The reference is the plain step of [`cell`](super::cell), which reads as the formulas do.

mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod scan;
pub(crate) mod simd;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

pub(crate) use math::{sigmoid, tanh};
pub(crate) use pack::{PackedBackward, PackedForward};
pub(crate) use scan::{Backward, Columns, Forward};
use simd::{Portable, Simd};

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

    /// The widest that this machine has, or the one that [`KERNEL_VARIABLE`] names, if the machine has it.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let available: Vec<Self> = Self::available().collect();
            let named = std::env::var(KERNEL_VARIABLE).ok();
            let chosen = named.and_then(|name| available.iter().find(|isa| isa.name() == name));
            *chosen.unwrap_or(&available[0])
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
pub(crate) trait Gates {
    /// Blocks of `H` rows in each weight, at most [`MAX_GATES`].
    const GATES: usize;
    /// Values a unit keeps for the way back, at most [`MAX_SAVED`].
    const SAVED: usize;
    /// Which of them is the memory cell, if there is one.
    const MEMORY: Option<usize>;

    /// `x` are the input's products, `a` the recurrent ones, each with its bias; `h` and `c` the state before.
    ///
    /// # Safety
    /// As [`Simd`] asks.
    unsafe fn forward<V: Simd>(x: &[V; MAX_GATES], a: &[V; MAX_GATES], h: V, c: V) -> Stepped<V>;

    /// Gradients from those of the state after (`dh`, `dc`) and what was kept.
    ///
    /// # Safety
    /// As [`Simd`] asks.
    unsafe fn backward<V: Simd>(saved: &[V; MAX_SAVED], h: V, c: V, dh: V, dc: V) -> Unstepped<V>;
}

pub(crate) const MAX_GATES: usize = 4;
pub(crate) const MAX_SAVED: usize = 5;

/// The state after a step, and what the way back needs.
pub(crate) struct Stepped<V> {
    pub h: V,
    pub c: V,
    pub saved: [V; MAX_SAVED],
}

/// Gradients of a step's inputs.
pub(crate) struct Unstepped<V> {
    /// Of the input's products.
    pub dx: [V; MAX_GATES],
    /// Of the recurrent products.
    pub da: [V; MAX_GATES],
    /// Of the state before, without what comes through the recurrent products.
    pub dh: V,
    pub dc: V,
}

/// Compiles the two scans for one kind of vector.
macro_rules! compile_for {
    ($features:literal, $vector:ty, $forward:ident, $backward:ident) => {
        #[target_feature(enable = $features)]
        fn $forward<C: Gates>(args: Forward) {
            // SAFETY: this function is compiled for the instructions of $vector.
            unsafe { scan::forward::<$vector, C>(args) }
        }
        #[target_feature(enable = $features)]
        fn $backward<C: Gates>(args: Backward) {
            // SAFETY: as above.
            unsafe { scan::backward::<$vector, C>(args) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compile_for!("avx2,fma", x86::Avx2, forward_avx2, backward_avx2);
#[cfg(target_arch = "x86_64")]
compile_for!("avx512f,avx2,fma", x86::Avx512, forward_avx512, backward_avx512);
#[cfg(target_arch = "aarch64")]
compile_for!("neon", neon::Neon, forward_neon, backward_neon);

/// One layer in one direction, from its input products to its states.
pub(crate) fn forward<C: Gates>(isa: Isa, args: Forward) {
    assert!(isa.is_available());
    args.check::<C>();
    // SAFETY: the machine has the instructions, and the sizes are checked.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => forward_avx2::<C>(args),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => forward_avx512::<C>(args),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => forward_neon::<C>(args),
            _ => scan::forward::<Portable, C>(args),
        }
    }
}

/// The way back through one layer in one direction.
pub(crate) fn backward<C: Gates>(isa: Isa, args: Backward) {
    assert!(isa.is_available());
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
            _ => scan::backward::<Portable, C>(args),
        }
    }
}
