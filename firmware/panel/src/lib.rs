//! One screen model, two front ends: the packet LCD and the serial console.
