# SPDX-License-Identifier: MIT
"""Winnow's training methods once more, in PyTorch and float64, from their formulas. See docs/parity.md."""
