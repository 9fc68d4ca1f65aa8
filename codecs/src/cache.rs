//! Asking the processor for memory before it is needed. It stands here since it is what needs `unsafe`, for whoever handles sound.

/// Begins to bring what lies at `value` near, so that who reads it some hundred nanoseconds later need not wait. Nothing else
/// changes, and where the processor's way to ask is not known nothing happens.
#[inline]
pub fn fetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let start = std::ptr::from_ref(value).cast::<i8>();
        for at in (0..size_of::<T>()).step_by(LINE) {
            // SAFETY: within `value`; and a request to fetch reads nothing and cannot fault.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(at)) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
