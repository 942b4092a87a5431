"""The dataset's contract: columns, manifest, splits, folds, shares and who reads which row groups."""
