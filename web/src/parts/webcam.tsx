// Pictures from a camera.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { NamedFile } from '../state/project.ts';

export function Webcam({ onPicture, onClose }: { onPicture: (picture: NamedFile) => void; onClose: () => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const taken = useSignal(0);
  const problem = useSignal<string | undefined>(undefined);
  useEffect(() => {
    let stream: MediaStream | undefined;
    let closed = false;
    const start = async () => {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
      if (closed) return stop(stream);
      video.current!.srcObject = stream;
      await video.current!.play();
    };
    start().catch((error: Error) => {
      problem.value = `The camera gives no picture: ${error.message}`;
    });
    return () => {
      closed = true;
      if (stream) stop(stream);
    };
  }, []);
  const take = async () => {
    const { videoWidth: width, videoHeight: height } = video.current!;
    if (!width) return;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext('2d')!.drawImage(video.current!, 0, 0);
    const file = await canvas.convertToBlob({ type: 'image/png' });
    taken.value++;
    onPicture({ name: `camera ${taken.value}.png`, file });
  };
  return (
    <div class="webcam">
      {problem.value ? (
        <p role="alert">{problem.value}</p>
      ) : (
        <>
          <video ref={video} playsInline muted />
          <button type="button" onClick={() => void take()}>
            Take a picture
          </button>
        </>
      )}
      <button type="button" onClick={onClose}>
        Close the camera
      </button>
    </div>
  );
}

const stop = (stream: MediaStream) => {
  for (const track of stream.getTracks()) track.stop();
};
