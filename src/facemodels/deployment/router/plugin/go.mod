module facemodels/arms

go 1.22
