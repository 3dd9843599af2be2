//! The addresses of pods: each node hands out those of its own block, and reuses one as late as it can.

use std::net::Ipv4Addr;

/// Addresses at the start of a block that no pod gets: the network's and the gateway's.
const RESERVED: u32 = 2;

/// The addresses of one node.
#[derive(Clone, Debug)]
pub(super) struct Block {
    first: u32,
    size: u32,
    next: u32,
    used: Box<[u64]>,
}

impl Block {
    /// All `size` addresses from `first` on are free, but for the first two and the last.
    pub(super) fn new(first: Ipv4Addr, size: u32) -> Self {
        let words = size.div_ceil(64) as usize;
        Self { first: first.into(), size, next: RESERVED, used: vec![0; words].into() }
    }

    /// Takes the next free address; `None` if there is none.
    pub(super) fn take(&mut self) -> Option<Ipv4Addr> {
        let free = (self.next..self.size - 1).chain(RESERVED..self.next.min(self.size - 1));
        let offset = free.into_iter().find(|offset| !self.is_used(*offset))?;
        self.mark(offset, true);
        self.next = offset + 1;
        Some((self.first + offset).into())
    }

    /// Takes that address, which a pod has already; ignores one outside of the block.
    pub(super) fn reserve(&mut self, address: Ipv4Addr) {
        if let Some(offset) = self.offset(address) {
            self.mark(offset, true);
        }
    }

    /// Gives an address back; ignores one outside of the block.
    pub(super) fn release(&mut self, address: Ipv4Addr) {
        if let Some(offset) = self.offset(address) {
            self.mark(offset, false);
        }
    }

    fn offset(&self, address: Ipv4Addr) -> Option<u32> {
        let offset = u32::from(address).checked_sub(self.first)?;
        (offset < self.size).then_some(offset)
    }

    fn is_used(&self, offset: u32) -> bool {
        self.used[offset as usize / 64] & (1 << (offset % 64)) != 0
    }

    fn mark(&mut self, offset: u32, used: bool) {
        let (word, bit) = (&mut self.used[offset as usize / 64], 1 << (offset % 64));
        if used {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_until_they_are_given_back() {
        let address = |last| Ipv4Addr::new(10, 244, 1, last);
        let mut block = Block::new(address(0), 8);
        block.reserve(address(3));
        block.reserve(Ipv4Addr::new(10, 244, 2, 3));
        assert_eq!(block.take(), Some(address(2)));
        assert_eq!(block.take(), Some(address(4)));
        block.release(address(2));
        assert_eq!(block.take(), Some(address(5)), "reused as late as possible");
        assert_eq!(block.take(), Some(address(6)));
        assert_eq!(block.take(), Some(address(2)));
        assert_eq!(block.take(), None);
        block.release(address(5));
        assert_eq!(block.take(), Some(address(5)));
    }
}
