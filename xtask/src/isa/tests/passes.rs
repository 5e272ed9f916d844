//! Usual passes of small loops, what bounds them, and verdicts on loops that became worse.

use super::{CAPS, END, TEXT, one, radv, read, row};
use crate::isa::bound::{self, Bound};
use crate::isa::cards::{Driver, GATE};
use crate::isa::code::Code;
use crate::isa::costs::{Cost, Costs};
use crate::isa::diff::{Difference, compare};
use crate::isa::marks::{Row, Run, Text, Work};
use crate::isa::{pass, rates};

/// What a text costs whose loop is this, by a card's rates.
fn told(card: &str, code: &Code) -> Costs {
    let mut costs = Costs::default();
    pass::add_to(code, rates::of(card).expect("rates"), &mut costs);
    costs
}

/// Blocks of the usual pass, with how often each is run.
fn usual(code: &Code) -> Vec<(String, f64)> {
    let rates = rates::of(GATE).expect("rates");
    let pass = pass::of(code, code.hottest().expect("a loop"), rates).expect("a pass");
    pass.0.iter().map(|(at, times)| (code.0[*at].label.clone(), *times)).collect()
}

const LOAD: &str = "buffer_load_b128 v[0:3], v0\n";
const STAGE: &str = "s_waitcnt vmcnt(0)\nds_store_b128 v0, v[0:3]\n";
const PRODUCT: &str = "ds_load_b128 v[0:3], v0\nv_wmma_f32_16x16x16_f16 v0\n";
const VECTORS: &str = "v_add_f32 v1, v2, v3\nv_add_f32 v1, v2, v3\n";

#[test]
fn a_usual_pass_leaves_out_what_is_rare() {
    let rare = VECTORS.repeat(5);
    let code = radv(&format!(
        "BB0:\ns_mov_b64 exec, -1\nBB1:\n{LOAD}{STAGE}s_barrier\ns_cbranch_scc1 BB3\nBB2:\n{rare}BB3:\n{PRODUCT}v_exp_f32 v1, \
         v2\ns_cbranch_scc1 BB1\nBB4:\ns_endpgm\n"
    ));
    assert_eq!(usual(&code), [("BB1".into(), 1.0), ("BB3".into(), 1.0)]);
    // A product's 32 cycles beside 8 of the exponential, 32 of workgroup memory and 32 of memory.
    let costs = told(GATE, &code);
    let of = |cost| costs.get(cost);
    assert_eq!((of(Cost::Overlap), of(Cost::Serial)), (Some(80.0), Some(30.8)));
    assert_eq!(of(Cost::RoundTrips), Some(1.0));
    // Where a product takes half the time, the same rest counts double.
    assert_eq!(told("gfx1201", &code).get(Cost::Overlap), Some(50.0));
}

#[test]
fn of_two_ways_with_the_same_work_the_cheaper_is_usual() {
    let code = radv(&format!(
        "BB1:\ns_cbranch_scc1 BB3\nBB2:\n{VECTORS}{LOAD}{LOAD}s_branch BB4\nBB3:\n{LOAD}BB4:\n{PRODUCT}s_cbranch_scc0 \
         BB6\nBB5:\n{PRODUCT}s_branch BB7\nBB6:\n{PRODUCT}{VECTORS}BB7:\ns_branch BB1\n"
    ));
    let labels: Vec<String> = usual(&code).into_iter().map(|(label, _)| label).collect();
    assert_eq!(labels, ["BB1", "BB3", "BB4", "BB5", "BB7"]);
}

#[test]
fn a_loop_inside_runs_as_often_as_its_code_says() {
    let text = |end: &str| {
        format!(
            "BB0:\ns_mov_b32 s4, 0\nBB1:\ns_mov_b32 s5, 0\nBB2:\ns_cmp_ge_u32 s5, {end}\ns_cbranch_scc1 BB4\nBB3:\n{PRODUCT}s_add_i32 \
             s5, s5, 2\ns_branch BB2\nBB4:\n{LOAD}{STAGE}s_barrier\ns_cbranch_scc1 BB1\n"
        )
    };
    let times = |end: &str| usual(&radv(&text(end))).iter().map(|(_, times)| *times).collect::<Vec<_>>();
    assert_eq!(times("8"), [1.0, 4.0, 4.0, 1.0]);
    assert_eq!(times("0x10"), [1.0, 8.0, 8.0, 1.0]);
    // A number that is not in the code.
    assert_eq!(times("s9"), [1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn texts_without_matrices_are_bound_by_their_multiply_adds() {
    let fma = "v_fma_f32 v0, v1, v2, v0\n".repeat(16);
    let code = radv(&format!(
        "BB1:\n{fma}{VECTORS}{LOAD}s_cbranch_scc1 BB3\nBB2:\nv_fma_f32 v0, v1, v2, v0\nBB3:\ns_cbranch_scc1 BB1\n"
    ));
    // 32 cycles of 36, beside 32 of memory; the multiply-add of the rare path is none of them.
    let costs = told("navi21", &code);
    assert_eq!((costs.get(Cost::Overlap), costs.get(Cost::Serial)), (Some(88.9), Some(47.1)));
    assert_eq!(costs.get(Cost::RoundTrips), Some(0.0), "nothing waits");
}

#[test]
fn a_matrix_unit_beside_the_others_hides_them() {
    let printed = include_str!("../excerpts/nak.txt");
    let code = std::mem::take(&mut one(Driver::Nvk, printed).texts[0].code);
    // Half a product takes 16 cycles, all instructions of the loop one each: 6, and an access of 4 bytes by 32 invocations 4.
    let costs = told("ga102", &code);
    assert_eq!((costs.get(Cost::Overlap), costs.get(Cost::Serial)), (Some(100.0), Some(61.5)));
    assert_eq!(costs.get(Cost::RoundTrips), None, "NAK's waits are not read");
}

#[test]
fn a_text_takes_as_long_as_what_binds_it() {
    let rates = rates::of(GATE).expect("rates");
    let work = "\"flops\":122880000000.0,\"bytes\":1920000000.0,";
    let text = TEXT.replace('{', &format!("{{{work}"));
    let printed = format!("{CAPS}{text}{}{END}", include_str!("../excerpts/radv.txt"));
    let mut run = read(Driver::Radv, &printed).expect("a run");
    let of = |run: &Run| Bound::of(&run.texts[0], rates).expect("a bound");
    let near =
        |seconds: Option<f64>, expected: f64| seconds.is_some_and(|s| (s / expected - 1.0).abs() < 1e-9);
    // A thousandth of a second of products, each with 3 cycles of vector instructions, and 16 each of both memories.
    let bound = of(&run);
    assert!(near(Some(bound.peak), 1e-3) && near(bound.memory, 2e-3), "{bound:?}");
    assert!(near(bound.overlapped, 35e-3 / 32.0) && near(bound.serial, 67e-3 / 32.0), "{bound:?}");
    assert_eq!(bound.longest(), (2e-3, "memory"));
    assert!(bound::shown(&run, rates).contains("2000.0 by memory, 50 %: arithmetic 1000.0, the loop 1093.8"));
    // A program that tells no bytes, and one that tells nothing.
    run.texts[0].work.bytes = None;
    assert_eq!(of(&run).longest().1, "the loop");
    run.texts[0].work.flops = None;
    assert_eq!(Bound::of(&run.texts[0], rates), None);
}

#[test]
fn multiply_adds_among_others_do_not_bind() {
    let text = |fma: usize| {
        let fma = "v_fma_f32 v0, v1, v2, v0\n".repeat(fma);
        let code = radv(&format!("BB1:\n{fma}{VECTORS}{LOAD}s_cbranch_scc1 BB1\n"));
        Text { code, work: Work { flops: Some(1e9), bytes: None }, row: row("f32", &[]) }
    };
    let bound = |fma| Bound::of(&text(fma), rates::of("navi21").expect("rates")).expect("a bound");
    assert!(bound(8).overlapped.is_some() && bound(1).overlapped.is_none());
}

/// The verdict where a loop of tiles becomes another.
fn replanted(was: &str, now: &str) -> Difference {
    let text =
        |body: &str| row_of(told(GATE, &radv(&format!("BB0:\ns_mov_b32 s4, 0\nBB1:\n{body}s_branch BB1\n"))));
    compare(&[text(was)], &[text(now)])
}

fn row_of(costs: Costs) -> Row {
    Row { costs, ..row("f16", &[]) }
}

#[test]
fn a_guard_around_each_load_fails() {
    let guarded = |at: usize| {
        format!(
            "v_cmp_gt_u32 vcc, s0, v9\ns_and_saveexec_b64 s[0:1], vcc\ns_cbranch_execz BB{at}\nBB1{at}:\n{LOAD}{STAGE}BB{at}:\n"
        )
    };
    let products = format!("s_barrier\n{}", PRODUCT.repeat(8));
    let was = format!("{}{}{products}", LOAD.repeat(4), STAGE.repeat(4));
    let now = format!("{}{products}", (2..6).map(guarded).collect::<String>());
    let told = replanted(&was, &now);
    assert!(told.worse.len() == 1 && told.worse[0].contains("round_trips 1 → 4"), "{told:?}");
    assert_eq!(replanted(&was, &was), Difference::default());
    assert!(replanted(&now, &was).better[0].contains("round_trips 4 → 1"));
}

#[test]
fn a_loop_that_is_not_unrolled_fails() {
    let stage = format!("{LOAD}{STAGE}s_barrier\n");
    let was = format!("{stage}{}", PRODUCT.repeat(8));
    // Which register holds the factor is looked up.
    let select = "v_cndmask_b32 v0, v1, v2, vcc\n".repeat(8);
    let rolled = |end: &str| {
        format!(
            "{stage}s_mov_b32 s5, 0\nBB2:\ns_cmp_ge_u32 s5, {end}\ns_cbranch_scc1 BB4\nBB3:\n{select}{PRODUCT}s_add_i32 s5, s5, \
             1\ns_branch BB2\nBB4:\n"
        )
    };
    for end in ["8", "s9"] {
        let told = replanted(&was, &rolled(end));
        assert!(told.worse.len() == 1 && told.worse[0].contains("overlap% 100 → "), "{told:?}");
    }
}
