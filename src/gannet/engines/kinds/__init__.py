"""The engines, one file each; a module that several of them share begins with an underscore."""
