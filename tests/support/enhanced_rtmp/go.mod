module soloist.test/enhanced-rtmp

go 1.24.0

require (
	github.com/bluenviron/gortmplib v0.2.0
	github.com/bluenviron/mediacommon/v2 v2.6.0
)

require (
	github.com/abema/go-mp4 v1.4.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
)
