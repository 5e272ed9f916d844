// Parameters through a uniform with a dynamic offset, for devices without immediates.
@group(1) @binding(0) var<uniform> params: Params;
