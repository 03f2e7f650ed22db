// An enhanced RTMP server on gortmplib, MediaMTX's own library: prints its port, then of each frame that arrives the
// coding and a hash. One publisher after the other.
package main

import (
	"crypto/sha256"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/gortmplib/pkg/message"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		log.Print(take(connection))
		connection.Close()
	}
}

// Print a publisher's frames; return why there are no more.
func take(connection net.Conn) error {
	server := &gortmplib.ServerConn{RW: connection}
	if err := server.Initialize(); err != nil {
		return err
	}
	// gortmplib's own answer to `connect`, which follows, announces no codings although it takes them.
	err := server.Write(&message.CommandAMF0{ChunkStreamID: 3, Name: "_result", CommandID: 1, Arguments: amf0.Data{
		amf0.Object{},
		amf0.Object{
			{Key: "code", Value: "NetConnection.Connect.Success"},
			{Key: "fourCcList", Value: amf0.StrictArray{"av01", "vp09"}},
		},
	}})
	if err != nil {
		return err
	}
	if err := server.Accept(); err != nil {
		return err
	}
	reader := &gortmplib.Reader{Conn: server}
	if err := reader.Initialize(); err != nil {
		return err
	}
	for _, track := range reader.Tracks() {
		switch track.Codec.(type) {
		case *codecs.VP9:
			reader.OnDataVP9(track, func(_ time.Duration, frame []byte) { show("vp9", frame) })
		case *codecs.AV1:
			reader.OnDataAV1(track, func(_ time.Duration, units [][]byte) {
				frame, err := av1.Bitstream(units).Marshal()
				if err != nil {
					log.Fatal(err)
				}
				show("av1", frame)
			})
		case *codecs.MPEG4Audio:
			reader.OnDataMPEG4Audio(track, func(_ time.Duration, frame []byte) { show("aac", frame) })
		}
	}
	for {
		if err := reader.Read(); err != nil {
			return err
		}
	}
}

func show(coding string, frame []byte) {
	fmt.Printf("%s %x\n", coding, sha256.Sum256(frame))
}
