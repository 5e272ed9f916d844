// Long work is dispatched in cuts: which workgroup of the whole one is.
fn of_whole(wg: vec3<u32>) -> vec3<u32> {
    return wg + vec3<u32>(params.first_workgroup_x, params.first_workgroup_y, params.first_workgroup_z);
}
