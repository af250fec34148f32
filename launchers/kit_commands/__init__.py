"""What an operator does with a site of NVIDIA FLARE: looks at its kit, and has it launch jobs by this package."""
