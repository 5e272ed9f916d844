// Cooperative matrices of 16 × 16: f16 factors, f32 sums.
const MATRIX: u32 = 16u;
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;
