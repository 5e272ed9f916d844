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
