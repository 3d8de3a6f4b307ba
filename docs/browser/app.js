// The page: takes photographs, hands them to the worker and the network, shows and saves the answer.

import { startRuntime } from './runtime.js';

const PREVIEW_SIDE = 2048; // pixels of what is shown; the file that is saved has them all

const $ = (id) => document.getElementById(id);
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

let runtime = null; // a promise of startRuntime's answer
let worker = null;
let download = null; // object URL of the finished file

// Status, errors

function say(text, share) {
  $('status').textContent = text;
  $('progress').hidden = share === undefined;
  if (share === null) $('progress').removeAttribute('value');
  else if (share !== undefined) $('progress').value = share;
}

function complain(text) {
  $('error').textContent = text;
  $('error').hidden = !text;
}

function remark(text) {
  $('remark').textContent = text;
  $('remark').hidden = !text;
}

async function start() {
  say('Loading the model and its runtime (16 MB)…', null);
  runtime = startRuntime();
  try {
    const { threads, remark: why } = await runtime;
    remark(
      why
        ? `Runs single-threaded: ${why}. It works all the same, a little slower.`
        : `Runs on ${threads} thread${threads === 1 ? '' : 's'}.`,
    );
    if (!worker) say('Ready.');
  } catch (error) {
    complain(error.message);
    say('Not ready: something is missing, see above.');
    setEnabled(false);
  }
}

function setEnabled(enabled) {
  $('file').disabled = !enabled;
  $('open-camera').disabled = !enabled;
  document.querySelector('label[for=file]').setAttribute('aria-disabled', String(!enabled));
}

// Colouring

/** Asks a worker; resolves with its message of type `until`, others go to `meanwhile`. */
function ask(to, message, until, meanwhile = {}) {
  return new Promise((resolve, reject) => {
    to.onmessage = ({ data }) => {
      if (data.type === 'failed') reject(Object.assign(new Error(data.message), data));
      else if (data.type === until) resolve(data);
      else meanwhile[data.type]?.(data);
    };
    to.onerror = (event) => {
      event.preventDefault?.();
      reject(new Error(event.message || 'its helper worker.js did not start; reload the page'));
    };
    to.postMessage(message);
  });
}

async function colourise(file) {
  worker?.terminate(); // the newest photograph is the one that is wanted
  const mine = new Worker('worker.js', { type: 'module' });
  worker = mine;
  complain('');
  const began = performance.now();
  say(`Reading ${file.name}…`, null);
  try {
    const network = await runtime;
    const { width, height, lightness, grey } = await ask(
      mine,
      { type: 'open', file, side: network.side, preview: PREVIEW_SIDE },
      'opened',
    );
    if (worker !== mine) return;
    showGrey(file, width, height, grey);
    say('Colouring…', null);
    await painted();
    const ab = await network.predictAb(lightness);
    if (worker !== mine) return;
    const { blob } = await ask(mine, { type: 'colour', ab }, 'encoded', {
      progress: ({ share }) => say('Colouring…', share),
      coloured: ({ colour }) => {
        showColour(colour);
        say('Writing the file…', null);
      },
    });
    if (worker !== mine) return;
    offer(file, blob);
    say(`Done in ${seconds(began)}.`);
  } catch (error) {
    if (worker !== mine) return;
    fail(file, error);
  } finally {
    if (worker === mine) {
      mine.terminate();
      worker = null;
    }
  }
}

function fail(file, error) {
  const pictureIsShown = download !== null;
  showResult(pictureIsShown);
  if (error.name === 'MissingError') complain(error.message);
  else if (error.expected) complain(`${file.name} cannot be coloured: ${error.message}`);
  else {
    complain(
      `${file.name} could not be coloured: ${error.message}. ` +
        'The picture may be too large for this browser; try a smaller one.',
    );
  }
  say(pictureIsShown ? 'The previous photograph is still there.' : 'Choose another photograph.');
}

// One frame, so that the text is on the screen before the network takes the page's thread.
const painted = () =>
  new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 100); // pages in the background paint no frames
  });

function showGrey(file, width, height, bitmap) {
  withdraw();
  showResult(true);
  $('result').classList.add('waiting');
  $('slider').disabled = true;
  const { style } = $('result');
  style.setProperty('--ratio', width / height);
  style.setProperty('--natural', `${width}px`);
  $('facts').textContent = `${file.name}, ${width} × ${height} pixels`;
  put($('grey'), bitmap);
}

function showColour(bitmap) {
  put($('colour'), bitmap);
  $('result').classList.remove('waiting');
  $('slider').disabled = false;
  split(50);
}

function showResult(shown) {
  $('result').hidden = !shown;
  document.querySelector('label[for=file]').textContent = shown
    ? 'Choose another photograph'
    : 'Choose a photograph';
}

function put(canvas, bitmap) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext('bitmaprenderer').transferFromImageBitmap(bitmap);
}

function offer(file, blob) {
  download = URL.createObjectURL(blob);
  $('download').href = download;
  $('download').download = `${file.name.replace(/\.[^.]*$/, '') || 'photograph'}-colour.png`;
  $('download').removeAttribute('aria-disabled');
}

function withdraw() {
  if (download) URL.revokeObjectURL(download);
  download = null;
  $('download').removeAttribute('href');
  $('download').setAttribute('aria-disabled', 'true');
}

// The slider

function split(percent) {
  const value = Math.round(Math.min(100, Math.max(0, percent)));
  $('slider').value = value;
  $('slider').setAttribute('aria-valuetext', `${value} % grey, ${100 - value} % colour`);
  $('compare').style.setProperty('--split', `${value}%`);
}

$('slider').addEventListener('input', () => split(Number($('slider').value)));

function splitAt(event) {
  const { left, width } = $('compare').getBoundingClientRect();
  split((100 * (event.clientX - left)) / width);
}

$('compare').addEventListener('pointerdown', (event) => {
  if ($('slider').disabled || event.button !== 0) return;
  $('compare').setPointerCapture(event.pointerId);
  splitAt(event);
});
$('compare').addEventListener('pointermove', (event) => {
  if ($('compare').hasPointerCapture(event.pointerId)) splitAt(event);
});

// Files

function take(files) {
  if (files.length === 0) return;
  closeCamera();
  colourise(files[0]).then(() => {
    if (files.length > 1) {
      say(`${$('status').textContent} One at a time: of ${files.length} files the first was taken.`);
    }
  });
}

$('file').addEventListener('change', () => {
  const files = [...$('file').files];
  $('file').value = ''; // so that the same file can be chosen again
  take(files);
});

const isFileDrag = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');

addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.toggle('dragging', isFileDrag(event));
});
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('dragging');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dragging');
  if ($('file').disabled) return;
  const files = [...event.dataTransfer.files];
  if (files.length) take(files);
  else complain('What was dropped is no file. Save the picture first, then drop the file.');
});

// The camera

const CAMERA_TROUBLE = {
  NotAllowedError: 'The camera was refused. Allow it in the browser’s address bar, or choose a file.',
  NotFoundError: 'No camera was found. Choose a file instead.',
  NotReadableError: 'The camera is in use by another program. Close that, or choose a file.',
};

async function openCamera() {
  complain('');
  if (!navigator.mediaDevices?.getUserMedia) {
    complain('No camera here: browsers give it to https and localhost pages only. Choose a file.');
    return;
  }
  $('open-camera').disabled = true;
  try {
    $('video').srcObject = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: 'environment', width: { ideal: 4096 }, height: { ideal: 3072 } },
    });
    $('camera').hidden = false;
    showResult(false);
    say('The camera is open.');
    $('shoot').focus();
  } catch (error) {
    complain(CAMERA_TROUBLE[error.name] ?? `The camera did not open: ${error.message}`);
  } finally {
    $('open-camera').disabled = false;
  }
}

function closeCamera() {
  $('video').srcObject?.getTracks().forEach((track) => track.stop());
  $('video').srcObject = null;
  $('camera').hidden = true;
  showResult(download !== null);
}

async function shoot() {
  const { videoWidth: width, videoHeight: height } = $('video');
  if (!width) {
    complain('The camera shows no picture yet. Wait a moment and try again.');
    return;
  }
  const frame = Object.assign(document.createElement('canvas'), { width, height });
  frame.getContext('2d').drawImage($('video'), 0, 0);
  const blob = await new Promise((resolve) => frame.toBlob(resolve, 'image/png'));
  take([new File([blob], 'camera.png', { type: 'image/png' })]);
}

$('open-camera').addEventListener('click', openCamera);
$('close-camera').addEventListener('click', () => {
  closeCamera();
  say('Ready.');
  $('open-camera').focus();
});
$('shoot').addEventListener('click', shoot);

start();
