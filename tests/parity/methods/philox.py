# SPDX-License-Identifier: MIT
"""Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) in numpy, and the draws winnow makes from it (src/base/philox.h)."""
import numpy as np

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

MVUE = 6 << 32  # streams: + 8 layer number + product
TOKENS = 7 << 32


def bijection(counter, key):
    """Ten rounds. counter: four arrays of words; key: two words. Returns four arrays of words."""
    c = [np.asarray(word, dtype=np.uint64) for word in counter]
    k = [int(word) for word in key]
    for _ in range(10):
        a, b = c[0] * MULTIPLIERS[0], c[2] * MULTIPLIERS[1]
        c = [(b >> HALF) ^ c[1] ^ np.uint64(k[0]), b & LOW, (a >> HALF) ^ c[3] ^ np.uint64(k[1]), a & LOW]
        k = [(k[i] + WEYL[i]) & 0xFFFFFFFF for i in range(2)]
    return c


def draw(seed, stream, index):
    """[n, 4] words of n indices."""
    index = np.asarray(index, dtype=np.uint64)
    stream, seed = int(stream), int(seed)
    counter = [index & LOW, index >> HALF] + [np.full_like(index, w) for w in (stream & 0xFFFFFFFF, stream >> 32)]
    return np.stack(bijection(counter, (seed & 0xFFFFFFFF, seed >> 32)), axis=-1)


def uniforms(seed, stream, counter, count):
    """`count` numbers in [0,1): word k is word k%4 of draw counter << 32 | k/4, times 2^-32."""
    index = (counter << 32) + np.arange((count + 3) // 4, dtype=np.uint64)
    return draw(seed, stream, index).reshape(-1)[:count].astype(np.float64) * 2.0**-32


def below(seed, stream, index, n):
    """floor(x n / 2^128) for the 128 bits x of a draw, its first word the least significant."""
    words = draw(seed, stream, np.array([index]))[0]
    return sum(int(word) << (32 * i) for i, word in enumerate(words)) * n >> 128


def permutation(seed, stream, n):
    """Fisher-Yates from the end, exchange i with draw i."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = below(seed, stream, i, i + 1)
        order[i], order[j] = order[j], order[i]
    return np.array(order)


# The known answers published with the generator (Random123, kat_vectors, philox 4x32 10).
VECTORS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


def check():
    for counter, key, expected in VECTORS:
        found = [int(word[0]) for word in bijection([[c] for c in counter], key)]
        assert found == expected, f"Philox of {counter}, {key}: {found}, expected {expected}"
