"""The methods that learn codes, one file each; what only one method needs stands beside it, with an underscore."""
