"""Plain Python functions over flat buffers, translated for LLVM and compiled once on a machine."""
