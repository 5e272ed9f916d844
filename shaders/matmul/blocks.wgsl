// Sums of an invocation's ROWS rows by OWNED packs of columns, over many inputs: of blocks of BLOCK packs, where BLOCK is above
// 0, and of as many blocks, DEEP.
struct Sums {
    block: array<array<Pack, OWNED>, ROWS>,
    before: array<array<Pack, OWNED>, ROWS>, // of earlier blocks
    blocks: array<array<Pack, OWNED>, ROWS>, // of earlier blocks of blocks
}

// After so many packs of inputs; a block begins anew at its end.
fn close_blocks(sums: ptr<function, Sums>, packs: u32) {
    if (BLOCK > 0u && packs % max(BLOCK, 1u) == 0u) {
        for (var r = 0u; r < ROWS; r++) {
            for (var c = 0u; c < OWNED; c++) {
                (*sums).before[r][c] += (*sums).block[r][c];
                (*sums).block[r][c] = Pack();
            }
        }
        if (DEEP && packs % max(BLOCK * BLOCK, 1u) == 0u) {
            for (var r = 0u; r < ROWS; r++) {
                for (var c = 0u; c < OWNED; c++) {
                    (*sums).blocks[r][c] += (*sums).before[r][c];
                    (*sums).before[r][c] = Pack();
                }
            }
        }
    }
}

fn sum_of(sums: ptr<function, Sums>, r: u32, c: u32) -> Pack {
    var sum = (*sums).block[r][c];
    if (BLOCK > 0u) {
        sum += (*sums).before[r][c];
    }
    if (DEEP) {
        sum += (*sums).blocks[r][c];
    }
    return sum;
}

// Leaves in `block` what the sums are as a whole.
fn finish(sums: ptr<function, Sums>) {
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < OWNED; c++) {
            (*sums).block[r][c] = sum_of(sums, r, c);
        }
    }
}

// Takes the first of finished sums, row by row; the others move up. A loop over them that is too long for a driver to unroll
// would have to look them up otherwise, for which they would lie in memory.
fn take_sum(sums: ptr<function, Sums>) -> Pack {
    let first = (*sums).block[0][0];
    for (var n = 1u; n < ROWS * OWNED; n++) {
        (*sums).block[(n - 1u) / OWNED][(n - 1u) % OWNED] = (*sums).block[n / OWNED][n % OWNED];
    }
    return first;
}
