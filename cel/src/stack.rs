//! Room for expressions that nest deeply: they are walked by recursion, and threads of a runtime have small stacks.

/// How deep an expression may nest that is walked on the caller's own stack.
const SHALLOW: usize = 24;
/// Enough for the deepest expression that the parser lets through, without optimization.
const STACK_BYTES: usize = 64 << 20;

/// Calls something, on a thread with a large stack if the depth asks for it. `None` if there is no thread to be had.
pub(crate) fn with_room<T: Send>(depth: usize, call: impl FnOnce() -> T + Send) -> Option<T> {
    if depth <= SHALLOW {
        return Some(call());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, call);
        thread.ok().and_then(|thread| thread.join().ok())
    })
}

/// How deep a source may nest at most: what opens something, and operators that nest to the right.
pub(crate) fn depth_of(source: &str) -> usize {
    let mut open = 0_usize;
    let mut deepest = 0;
    let mut questions = 0;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b'?' => questions += 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest + questions
}
