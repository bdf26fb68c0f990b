"""The methods that learn codes, one file each; a module that only one of them needs begins with an underscore."""
