//! Programs for the kernel's eBPF machine (RFC 9669), written as calls: a label is jumped to by its name.

use std::collections::HashMap;

/// Registers: 0 holds what a function returns, 1 to 5 what it is given, 6 to 9 survive it, 10 is the frame.
#[derive(Clone, Copy, Debug)]
pub struct Reg(pub u8);

/// Width of a load or store.
#[derive(Clone, Copy, Debug)]
pub enum Width {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
    Double = 0x18,
}

/// Operations on 64 bits.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Add = 0x00,
    Sub = 0x10,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Mov = 0xb0,
}

/// Conditions of a jump.
#[derive(Clone, Copy, Debug)]
pub enum If {
    Equal = 0x10,
    Above = 0x20,
    AtLeast = 0x30,
    AnyOf = 0x40,
    NotEqual = 0x50,
    NotNegative = 0x70,
    Below = 0xa0,
    AtMost = 0xb0,
}

/// What an operation or a comparison takes beside its register.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    Reg(Reg),
    Number(i32),
}

impl From<Reg> for Value {
    fn from(reg: Reg) -> Value {
        Value::Reg(reg)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Value {
        Value::Number(number)
    }
}

/// A program in the making.
#[derive(Default, Debug)]
pub struct Assembler {
    code: Vec<[u8; 8]>,
    labels: HashMap<&'static str, usize>,
    jumps: Vec<(usize, &'static str)>,
}

const ALU64: u8 = 0x07;
const ALU32: u8 = 0x04;
const JUMP: u8 = 0x05;
const BY_REG: u8 = 0x08;
const TO_BIG_ENDIAN: u8 = 0xdc;
const MUL: u8 = 0x20;
const NEG: u8 = 0x80;

impl Assembler {
    fn emit(&mut self, op: u8, (to, from): (u8, u8), offset: i16, number: i32) {
        let ([o0, o1], [n0, n1, n2, n3]) = (offset.to_le_bytes(), number.to_le_bytes());
        self.code.push([op, from << 4 | to, o0, o1, n0, n1, n2, n3]);
    }

    fn with(&mut self, op: u8, to: Reg, value: Value) {
        match value {
            Value::Reg(from) => self.emit(op | BY_REG, (to.0, from.0), 0, 0),
            Value::Number(number) => self.emit(op, (to.0, 0), 0, number),
        }
    }

    pub fn op(&mut self, op: Op, to: Reg, value: impl Into<Value>) {
        self.with(ALU64 | op as u8, to, value.into());
    }

    /// Adds in 32 bits; the upper half becomes 0.
    pub fn add32(&mut self, to: Reg, from: Reg) {
        self.with(ALU32, to, from.into());
    }

    /// Multiplies in 32 bits; the upper half becomes 0.
    pub fn mul32(&mut self, to: Reg, from: Reg) {
        self.with(ALU32 | MUL, to, from.into());
    }

    /// Keeps the lower 32 bits.
    pub fn mov32(&mut self, to: Reg, from: Reg) {
        self.with(ALU32 | Op::Mov as u8, to, from.into());
    }

    pub fn negate(&mut self, reg: Reg) {
        self.emit(ALU64 | NEG, (reg.0, 0), 0, 0);
    }

    /// Between the order of the network and that of the processor; keeps so many bits (16 or 32).
    pub fn swap(&mut self, reg: Reg, bits: i32) {
        self.emit(TO_BIG_ENDIAN, (reg.0, 0), 0, bits);
    }

    pub fn load(&mut self, width: Width, to: Reg, from: Reg, offset: i16) {
        self.emit(0x61 | width as u8, (to.0, from.0), offset, 0);
    }

    pub fn store(&mut self, width: Width, to: Reg, offset: i16, value: impl Into<Value>) {
        match value.into() {
            Value::Reg(from) => self.emit(0x63 | width as u8, (to.0, from.0), offset, 0),
            Value::Number(number) => self.emit(0x62 | width as u8, (to.0, 0), offset, number),
        }
    }

    /// Adds to a double word of memory, at once for all processors.
    pub fn add_shared(&mut self, to: Reg, offset: i16, from: Reg) {
        self.emit(0xdb, (to.0, from.0), offset, 0);
    }

    /// Puts `new` into a double word that is register 0; register 0 becomes what was there.
    pub fn exchange_if_same(&mut self, to: Reg, offset: i16, new: Reg) {
        self.emit(0xdb, (to.0, new.0), offset, 0xf1);
    }

    /// Puts `new` into a word; `new` becomes what was there. What was stored before is seen by who sees it.
    pub fn exchange32(&mut self, to: Reg, offset: i16, new: Reg) {
        self.emit(0xc3, (to.0, new.0), offset, 0xe1);
    }

    /// A map by its descriptor.
    pub fn map(&mut self, to: Reg, descriptor: i32) {
        self.emit(0x18, (to.0, 1), 0, descriptor);
        self.emit(0, (0, 0), 0, 0);
    }

    /// Calls one of the kernel's functions by its number.
    pub fn call(&mut self, function: i32) {
        self.emit(JUMP | 0x80, (0, 0), 0, function);
    }

    pub fn exit(&mut self) {
        self.emit(JUMP | 0x90, (0, 0), 0, 0);
    }

    pub fn jump_if(&mut self, condition: If, reg: Reg, value: impl Into<Value>, label: &'static str) {
        self.jumps.push((self.code.len(), label));
        self.with(JUMP | condition as u8, reg, value.into());
    }

    /// Here is where jumps to `name` lead.
    pub fn label(&mut self, name: &'static str) {
        self.labels.insert(name, self.code.len());
    }

    /// The program; `None` if a jump leads nowhere or too far.
    pub fn finish(mut self) -> Option<Vec<[u8; 8]>> {
        for (at, label) in &self.jumps {
            let distance = i16::try_from(self.labels.get(label)?.checked_sub(at + 1)?).ok()?;
            let [low, high] = distance.to_le_bytes();
            let instruction = self.code.get_mut(*at)?;
            (instruction[2], instruction[3]) = (low, high);
        }
        Some(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_those_of_rfc_9669() {
        let mut a = Assembler::default();
        a.op(Op::Mov, Reg(6), Reg(1));
        a.load(Width::Half, Reg(2), Reg(7), 12);
        a.jump_if(If::NotEqual, Reg(2), 8, "end");
        a.op(Op::Add, Reg(2), -4);
        a.store(Width::Word, Reg(10), -4, Reg(2));
        a.swap(Reg(2), 16);
        a.label("end");
        a.exit();
        let expected: [[u8; 8]; 7] = [
            [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
            [0x69, 0x72, 12, 0, 0, 0, 0, 0],
            [0x55, 0x02, 3, 0, 8, 0, 0, 0],
            [0x07, 0x02, 0, 0, 0xfc, 0xff, 0xff, 0xff],
            [0x63, 0x2a, 0xfc, 0xff, 0, 0, 0, 0],
            [0xdc, 0x02, 0, 0, 16, 0, 0, 0],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(a.finish().unwrap(), expected);
        let mut lost = Assembler::default();
        lost.jump_if(If::Equal, Reg(0), 0, "nowhere");
        assert_eq!(lost.finish(), None);
    }
}
